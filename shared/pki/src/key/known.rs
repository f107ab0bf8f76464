//! Public keys whose private half is printed in an RFC.

/// SHA-256 of the subject public key info in hex, and where the private key is printed. Firmware
/// copies examples; this table has those of the kinds that may be certified.
const KEYS: [(&str, &str); 13] = [
    (
        "8fb6bad671cfe698393c453357da61b56d757ab8c0f3fb9c87f2849e63131878",
        "RFC 9500, 2.1, testRSA2048",
    ),
    (
        "b2b04340cfaee616ec9c2c62d261b208e54bb197498df52e8cadede23ac0ba5e",
        "RFC 9500, 2.3, testECCP256",
    ),
    (
        "c4c10105a0be0ed4dd3354428dc38a9bfee64da141ce16e75c94eda272f9dd3a",
        "RFC 9500, 2.3, testECCP384",
    ),
    ("5a7a78cca4a0f420d9bc62bb669c3c2759e39f723d3ae10dcbe0f0815a07ecd4", "RFC 6979, A.2.5"),
    ("2f95601fa82060b909bfc6b979dbd303d34d34e0afb27ea496beac362f242a4b", "RFC 6979, A.2.6"),
    ("06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9", "RFC 8032, 7.1, TEST 1"),
    ("deb2ded39dc26fce0e6085b6fc34bf6b5941913bbfe2ea614113cff9e004c170", "RFC 8032, 7.1, TEST 2"),
    ("8d39ba50abe50f77b6bb8ae7b6927aff7ffbeba35ad2837c0e51e82bcbcc60d5", "RFC 8032, 7.1, TEST 3"),
    (
        "e4f982b51ad0bdd87be820b259fe80337ef636e72b9fa7a8867a6949eb610fd6",
        "RFC 8032, 7.1, TEST 1024",
    ),
    (
        "e77db4a9572e9f6552c22bc751d5499ad218a73bdf7e15dc6ea0fc69246a44de",
        "RFC 8032, 7.1, TEST SHA(abc)",
    ),
    ("a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f", "RFC 8410, 10.3"),
    ("2bd1bb0c44a897c30a7aa0991cde38d8062fe441de50da0f46825344f602e827", "RFC 7515, A.3"),
    ("51b944cdfa544d4c3273aa6bf350625a7dd53bbb6a71723274f538b19a207760", "RFC 7517, A.1"),
];

/// Returns true if the key with this fingerprint is an example from an RFC.
pub(super) fn is_known(fingerprint: &str) -> bool {
    KEYS.iter().any(|(known, _)| *known == fingerprint)
}
