import java.io.FileInputStream;
import java.security.cert.*;
import java.util.*;

/** Checks leaves against a CRL with Java's CertPath: ROOT CA CRL LEAF..., all in PEM. Prints one line per leaf. */
public final class CheckRevocation {
    public static void main(String[] paths) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root = certificate(factory, paths[0]);
        X509Certificate ca = certificate(factory, paths[1]);
        X509CRL crl;
        try (FileInputStream file = new FileInputStream(paths[2])) {
            crl = (X509CRL) factory.generateCRL(file);
        }
        for (String path : Arrays.copyOfRange(paths, 3, paths.length)) {
            CertPathValidator validator = CertPathValidator.getInstance("PKIX");
            PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
            checker.setOptions(EnumSet.of(
                PKIXRevocationChecker.Option.PREFER_CRLS,
                PKIXRevocationChecker.Option.NO_FALLBACK,
                // The subordinate's own revocation is on the root's CRL, which this does not cover.
                PKIXRevocationChecker.Option.ONLY_END_ENTITY));
            PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
            parameters.addCertPathChecker(checker);
            parameters.addCertStore(CertStore.getInstance(
                "Collection", new CollectionCertStoreParameters(List.of(crl))));
            CertPath chain = factory.generateCertPath(List.of(certificate(factory, path), ca));
            try {
                validator.validate(chain, parameters);
                System.out.println("good");
            } catch (CertPathValidatorException error) {
                if (!(error.getCause() instanceof CertificateRevokedException)) {
                    throw error;
                }
                CRLReason reason =
                    ((CertificateRevokedException) error.getCause()).getRevocationReason();
                System.out.println(reason.name().toLowerCase(Locale.ROOT));
            }
        }
    }

    private static X509Certificate certificate(CertificateFactory factory, String path) throws Exception {
        try (FileInputStream file = new FileInputStream(path)) {
            return (X509Certificate) factory.generateCertificate(file);
        }
    }
}
