"""Checks leaves against a CRL with python-cryptography: `check_revocation.py CA CRL LEAF...`, all in PEM.

Prints one line per leaf.
"""

import sys

from cryptography import x509

ca, crl, *leaves = [open(path, "rb").read() for path in sys.argv[1:]]
ca, crl = x509.load_pem_x509_certificate(ca), x509.load_pem_x509_crl(crl)
if not crl.is_signature_valid(ca.public_key()) or crl.issuer != ca.subject:
    sys.exit("another CA issued the CRL")
key = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
if key != ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest:
    sys.exit("another key signed the CRL")
crl.extensions.get_extension_for_class(x509.CRLNumber)
for leaf in leaves:
    serial = x509.load_pem_x509_certificate(leaf).serial_number
    revoked = crl.get_revoked_certificate_by_serial_number(serial)
    if revoked is None:
        print("good")
    else:
        reasons = revoked.extensions
        print(reasons.get_extension_for_class(x509.CRLReason).value.reason.value if len(reasons) else "unspecified")
