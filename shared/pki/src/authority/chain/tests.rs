use super::{
    super::foreign::{Foreign, ca},
    *,
};

/// Returns a root and three CAs below it, each issued by the one before, with these limits on the path.
fn chain(limits: [Option<u8>; 3]) -> [Foreign; 4] {
    let root = Foreign::root("Root", ca(limits[0], b"root"));
    let one = root.issue("One", ca(limits[1], b"one"));
    let two = one.issue("Two", ca(limits[2], b"two"));
    let subordinate = two.issue("Subordinate", ca(Some(0), b"subordinate"));
    [root, one, two, subordinate]
}

fn verdict(certificate: &Foreign, above: &[&Foreign]) -> Result<(), String> {
    let above: Vec<_> = above.iter().map(|it| it.certificate()).collect();
    verify(&certificate.certificate(), &above)
}

#[test]
fn each_ca_was_issued_by_the_next() {
    let [root, one, two, subordinate] = &chain([None; 3]);
    let [other_root, other_one, ..] = &chain([None; 3]);
    for (above, expected) in [
        (&[two, one, root][..], Ok(())),
        (&[], Err("its chain has no root")),
        (&[two, one], Err("the root is not self-signed")),
        (&[root], Err("it was not issued by its root")),
        (&[one, two, root], Err("it was not issued by its issuer")),
        (&[two, root], Err("CA 1 above it: it was not issued by its root")),
        (&[two, other_one, root], Err("CA 1 above it: it was not issued by its issuer")),
        (&[two, one, other_root], Err("CA 2 above it: it was not issued by its root")),
    ] {
        assert_eq!(verdict(subordinate, above), expected.map_err(str::to_owned));
    }
}

/// RFC 5280, section 4.2.1.9: the limit counts the CAs below, without the leaf.
#[test]
fn a_limited_path_is_not_exceeded() {
    for (limits, expected) in [
        ([Some(3), Some(2), Some(1)], Ok(())),
        (
            [Some(3), Some(2), Some(0)],
            Err("its issuer allows fewer CAs below itself than 1: pathLenConstraint is 0"),
        ),
        (
            [Some(3), Some(1), Some(1)],
            Err("CA 1 above it: its issuer allows fewer CAs below itself than 2: \
                 pathLenConstraint is 1"),
        ),
        (
            [Some(2), Some(2), Some(1)],
            Err("CA 2 above it: its root allows fewer CAs below itself than 3: \
                 pathLenConstraint is 2"),
        ),
    ] {
        let [root, one, two, subordinate] = &chain(limits);
        let verdict = verdict(subordinate, &[two, one, root]);
        assert_eq!(verdict, expected.map_err(str::to_owned), "{limits:?}");
    }
}

#[test]
fn a_bundle_may_have_any_order_and_any_text_around_its_certificates() {
    let [root, one, two, subordinate] = &chain([None; 3]);
    let (certificate, anchor) = (subordinate.certificate(), root.certificate());
    let [root, one, two, subordinate] = [root, one, two, subordinate].map(|it| it.pem.as_str());
    let between = |bundle: &str| -> Result<String, String> {
        let found = intermediates(&certificate, &anchor, bundle)?;
        Ok(found.iter().map(ChainCertificate::pem).collect())
    };
    let expected = Ok(format!("{two}{one}"));
    for bundle in [
        format!("{two}{one}"),
        format!("{root}{one}{two}{subordinate}"),
        format!("{one}{root}{two}").replace('\n', "\r\n"),
        format!("\u{feff}subject=CN = Two\n{two}subject=CN = One\n{one}the end"),
        format!("{two}{}", one.trim_end()),
    ] {
        assert_eq!(between(&bundle), expected, "{bundle}");
    }
    let [_, _, _, stranger] = &chain([None; 3]);
    for (bundle, expected) in [
        (String::new(), "CN=Subordinate was issued by CN=Two, which is neither the root nor in"),
        (two.into(), "CN=Two was issued by CN=One"),
        (format!("{two}{one}{}", stranger.pem), "CN=Subordinate is not between the CA and its"),
        (format!("{two}{}", one.replace("-----END", "-----FIN")), "certificate 2 in the bundle"),
        (two.replace("CERTIFICATE", "PRIVATE KEY"), "the PEM label is PRIVATE KEY"),
    ] {
        let fault = between(&bundle).unwrap_err();
        assert!(fault.contains(expected), "{fault}, not {expected}");
    }
}
