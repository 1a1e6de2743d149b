//! Certificates for temporary servers.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Writes a certificate authority, and a certificate for `localhost` signed by it, to a directory.
pub(crate) fn write(folder: &Path) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    for (name, content) in
        [("root.crt", root.pem()), ("server.crt", server.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), content).unwrap();
    }
}
