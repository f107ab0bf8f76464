//! Serial numbers on the command line.

/// Number of hexadecimal digits: birthcert's serial numbers have 16 octets.
pub(super) const SERIAL_DIGITS: usize = 32;

/// Parses a serial number as the value of an option.
pub(crate) fn parse_serial(text: &str) -> Result<String, &'static str> {
    serial_number(text).ok_or("a serial number has 32 hexadecimal digits")
}

/// Converts a serial number to the ledger's form, from the forms of openssl, browsers and brokers.
pub(super) fn serial_number(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("0x").replace([':', ' '], "").to_ascii_lowercase();
    let is_serial = text.len() == SERIAL_DIGITS && text.bytes().all(|it| it.is_ascii_hexdigit());
    is_serial.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_tools_print_them() {
        let ours = "6cfe9c104239bf8d4c00676c335d66ab";
        for text in [
            ours,
            "6CFE9C104239BF8D4C00676C335D66AB",
            "6C:FE:9C:10:42:39:BF:8D:4C:00:67:6C:33:5D:66:AB",
            "0x6cfe9c104239bf8d4c00676c335d66ab",
            "6c fe 9c 10 42 39 bf 8d 4c 00 67 6c 33 5d 66 ab",
        ] {
            assert_eq!(serial_number(text).as_deref(), Some(ours), "{text}");
        }
        for text in ["cafe", "pump 7", &ours[1..], &ours.replace('6', "g")] {
            assert_eq!(serial_number(text), None, "{text}");
        }
    }
}
