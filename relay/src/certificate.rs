//! The relay's certificate: from files, or one for development that it makes by itself.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use smoq_quic::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use thiserror::Error;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long a development certificate is valid. Browsers accept a pinned one for 14 days at most.
const VALIDITY: Duration = Duration::from_secs(13 * 24 * 60 * 60);

/// A development certificate is renewed when this little of its life is left at the start of a relay,
/// which can then run so long. A running relay keeps its own: clients may have its fingerprint.
const RENEWAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The first line of the development certificate's file; the rest is PEM, which skips it.
const EXPIRES: &str = "expires: ";

/// A certificate chain, leaf first, and the leaf's private key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// Why there is no certificate. The message says which file and what to do.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file could not be opened or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no usable PEM.
    #[error("{path} is not usable: {source}; it must hold PEM with {wanted}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What the parser said.
        source: pem::Error,
    },
    /// No folder to keep the development certificate in.
    #[error(
        "there is no folder for a development certificate: set HOME or XDG_DATA_HOME, or give a \
         certificate with --tls-cert and --tls-key"
    )]
    NoDataFolder,
    /// The development certificate could not be made.
    #[error("cannot make a development certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

impl Identity {
    /// Reads a chain and its key from two PEM files.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) })
            .map_err(unreadable(chain, "a certificate"))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key, "a private key"))?;
        Ok(Self { chain: certificates, key })
    }

    /// The user's development certificate (ECDSA P-256, for localhost, 127.0.0.1 and ::1), made now
    /// if there is none. One that expires within 7 days is renewed for 13 days with the same key, so
    /// that clients who trust the old one trust the new one too, and the other way round. Relays that
    /// start at once get the same one.
    pub fn development() -> Result<Self, CertificateError> {
        let folder = data_folder().ok_or(CertificateError::NoDataFolder)?;
        Self::development_in(&folder, SystemTime::now())
    }

    fn development_in(folder: &Path, now: SystemTime) -> Result<Self, CertificateError> {
        let failed = |source| CertificateError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = file(folder);
        let lock = fs::File::create(path.with_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        let old = Self::from_pem(&text).ok();
        let key = match old {
            Some(identity) if is_valid(&text, now + RENEWAL) => return Ok(identity),
            Some(identity) => KeyPair::try_from(&identity.key).ok(),
            None => None,
        };
        let key = key.map_or_else(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), Ok)?;
        let text = sign(&key, now)?;
        replace(&path, &text).map_err(failed)?;
        Self::from_pem(&text).map_err(unreadable(&path, "a certificate and a key"))
    }

    fn from_pem(text: &str) -> Result<Self, pem::Error> {
        Ok(Self {
            chain: vec![CertificateDer::from_pem_slice(text.as_bytes())?],
            key: PrivateKeyDer::from_pem_slice(text.as_bytes())?,
        })
    }
}

/// The development certificate of this user's relays, for a client on the same machine to trust.
/// `None` if there is none. It may have expired: whoever connects is told so, then.
pub fn development_certificate() -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_file(file(&data_folder()?)).ok()
}

fn unreadable(path: &Path, wanted: &'static str) -> impl FnOnce(pem::Error) -> CertificateError {
    move |source| match source {
        pem::Error::Io(source) => CertificateError::Io { path: path.to_owned(), source },
        source => CertificateError::Pem { path: path.to_owned(), wanted, source },
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("dev.pem")
}

/// The user's folder for data of this program.
fn data_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| {
        let below_home = |path| env::home_dir().map(|home| home.join(path));
        if cfg!(windows) {
            absolute("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            below_home("Library/Application Support")
        } else {
            below_home(".local/share")
        }
    });
    base.map(|base| base.join("smoq"))
}

/// Whether the certificate in the file's text is still valid at `at`.
fn is_valid(text: &str, at: SystemTime) -> bool {
    let seconds = text.lines().next().and_then(|line| line.strip_prefix(EXPIRES)?.parse().ok());
    let expires = seconds.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
    expires.is_some_and(|expires| at < expires)
}

/// The file's text: a certificate for `key` that begins now, and the key.
fn sign(key: &KeyPair, now: SystemTime) -> Result<String, rcgen::Error> {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = since_epoch + VALIDITY;
    let mut params = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "smoq development");
    params.distinguished_name = name;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A client's clock may be behind a little.
    params.not_before = epoch + since_epoch.saturating_sub(HOUR);
    params.not_after = epoch + expires;
    // By default it depends on the key only, but one issuer must not use a number twice.
    params.serial_number = Some(since_epoch.as_secs().into());
    let certificate = params.self_signed(key)?;
    Ok(format!("{EXPIRES}{}\n{}{}", expires.as_secs(), certificate.pem(), key.serialize_pem()))
}

/// Writes a file that only the user can read, at once for whoever reads it meanwhile.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // One that was left behind by a crash may have any permissions.
    let _ = fs::remove_file(&temporary);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smoq_quic::rustls::{
        self, RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::UnixTime,
    };

    use super::*;

    #[test]
    fn relays_that_start_at_once_share_one_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let chains: Vec<_> = std::thread::scope(|scope| {
            let start = || Identity::development_in(folder.path(), now).unwrap().chain;
            let relays: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            relays.into_iter().map(|relay| relay.join().unwrap()).collect()
        });
        assert!(chains.iter().all(|chain| *chain == chains[0]));
    }

    #[test]
    fn a_certificate_is_kept_until_its_last_week() {
        let folder = tempfile::tempdir().unwrap();
        let at = |now| Identity::development_in(folder.path(), now).unwrap().chain;
        let now = SystemTime::now();
        let first = at(now);
        assert_eq!(at(now + VALIDITY - RENEWAL - HOUR), first);
        assert_ne!(at(now + VALIDITY - RENEWAL + HOUR), first);
    }

    #[test]
    fn who_trusts_the_old_or_the_new_certificate_trusts_both() {
        let folder = tempfile::tempdir().unwrap();
        let at = |now| Identity::development_in(folder.path(), now).unwrap().chain.remove(0);
        let now = SystemTime::now();
        let (old, new) = (at(now), at(now + VALIDITY));
        assert_ne!(old, new);
        let verify = |root: &CertificateDer<'static>, shown: &CertificateDer<'static>, time| {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
            let name = "localhost".try_into().unwrap();
            let time = UnixTime::since_unix_epoch(SystemTime::duration_since(&time, UNIX_EPOCH)?);
            verifier.unwrap().verify_server_cert(shown, &[], &name, &[], time)?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        verify(&old, &new, now + VALIDITY).unwrap();
        verify(&new, &old, now).unwrap();
        let error = verify(&old, &old, now + VALIDITY + HOUR).unwrap_err();
        assert!(error.to_string().contains("xpired"), "{error}");

        let other = tempfile::tempdir().unwrap();
        let stranger = Identity::development_in(other.path(), now).unwrap().chain.remove(0);
        assert!(verify(&stranger, &old, now).is_err());
    }

    #[test]
    fn a_broken_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(file(folder.path()), format!("{EXPIRES}99999999999\nnonsense")).unwrap();
        Identity::development_in(folder.path(), SystemTime::now()).unwrap();
        let text = fs::read_to_string(file(folder.path())).unwrap();
        assert!(is_valid(&text, SystemTime::now()) && text.contains("BEGIN"));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Identity::development_in(folder.path(), SystemTime::now()).unwrap();
        let mode = fs::metadata(file(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let missing = Path::new("/nonexistent/cert.pem");
        let error = Identity::from_files(missing, missing).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/cert.pem"), "{error}");
    }
}
