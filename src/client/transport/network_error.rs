//! Failures below HTTP: temporary ones, and those that waiting does not fix.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::proxy;
use super::tls::NoRoots;
use crate::error::{Error, ErrorKind};

/// Why there was no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    /// The connection broke, or the response took too long.
    Broken,
    /// The connection failed: refused, no route, no name server.
    NoConnection,
    /// The name server does not know the host.
    NoSuchHost,
    /// The certificate of the host is not trusted or not valid.
    Certificate(CertificateFault),
    /// The two sides have no version or cipher of TLS in common, or the host does not use TLS.
    TlsMismatch,
    /// No certificates of authorities were found on this machine.
    NoRoots,
    /// The proxy requires authentication.
    ProxyAuth,
    /// The process has too many open files and sockets.
    TooManyFiles,
    /// A redirect was refused.
    Redirect,
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    Issuer,
    Time,
    Name,
    Other,
}

impl NetworkFault {
    /// Finds the fault in an error and its causes.
    pub(crate) fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let (mut next, mut connecting) = (Some(error), false);
        while let Some(cause) = next {
            if let Some(fault) = from_cause(cause) {
                return fault;
            }
            connecting |= cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
            next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // `source` would skip the inner error.
                Some(held) => Some(held),
                None => cause.source(),
            };
        }
        if connecting { Self::NoConnection } else { Self::Broken }
    }

    /// Finds the fault behind an error of the client; `None` if the failure was not below HTTP.
    pub(crate) fn find(error: &Error) -> Option<Self> {
        let cause = StdError::source(error)?;
        cause.downcast_ref::<reqwest::Error>().map(|error| Self::from_error(error))
    }

    /// Returns what the user can do about it.
    pub(crate) fn hint(self) -> Option<String> {
        Some(match self {
            Self::Broken | Self::Redirect => return None,
            Self::NoConnection => hint_with_proxy("check the network connection and the URL of the host"),
            Self::NoSuchHost => hint_with_proxy(
                "check the host name and the network connection; if the network has a proxy, set HTTPS_PROXY",
            ),
            Self::Certificate(CertificateFault::Issuer) => trust_hint().to_owned(),
            Self::Certificate(CertificateFault::Time) => {
                "check the date of this machine; if it is right, the certificate of the host has expired and its owner must renew it".to_owned()
            }
            Self::Certificate(CertificateFault::Name) => {
                "check the URL of the host: its certificate is for another name; the login page of a network can cause this too".to_owned()
            }
            Self::Certificate(CertificateFault::Other) => {
                "the host, or a proxy in front of it, has an invalid certificate".to_owned()
            }
            Self::TlsMismatch => {
                "the host, or a proxy in front of it, must support TLS 1.2 or 1.3 on this port; check whether its URL begins with `http:`".to_owned()
            }
            Self::NoRoots => NoRoots::hint(),
            Self::ProxyAuth => format!(
                "the proxy requires authentication: set {} to `http://NAME:PASSWORD@HOST:PORT`, with special characters percent-encoded",
                proxy::variables_set().first().copied().unwrap_or("HTTPS_PROXY")
            ),
            Self::TooManyFiles => {
                "raise the limit with `ulimit -n 4096`, or pass a lower `--concurrency`".to_owned()
            }
        })
    }
}

/// Adds the proxy variables that are set to a hint, because a dead proxy looks like a dead host.
fn hint_with_proxy(check: &str) -> String {
    match proxy::variables_set() {
        set if set.is_empty() => check.to_owned(),
        set => format!("{check}, and the proxy in {}", set.join(", ")),
    }
}

fn trust_hint() -> &'static str {
    if cfg!(any(windows, target_vendor = "apple")) {
        "if a proxy of your organization intercepts TLS, add its certificate to the trusted certificates of the system"
    } else {
        "if your organization has its own certificate authority, set SSL_CERT_FILE to a PEM file with the certificate of that authority and all others to trust"
    }
}

fn from_cause(cause: &(dyn StdError + 'static)) -> Option<NetworkFault> {
    if cause.is::<RedirectRefused>() {
        return Some(NetworkFault::Redirect);
    }
    if let Some(error) = cause.downcast_ref::<TlsError>() {
        return from_tls(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>()
        && let Some(fault) = from_io(error)
    {
        return Some(fault);
    }
    // The types of these errors are private, so only the text identifies them.
    let text = cause.to_string();
    let contains_any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if contains_any(&[
        "proxy authorization required",
        "credentials not accepted",
        "support user/pass authentication",
    ]) {
        return Some(NetworkFault::ProxyAuth);
    }
    if contains_any(&["failed to lookup address information"]) {
        return Some(if contains_any(&NO_SUCH_HOST) {
            NetworkFault::NoSuchHost
        } else {
            NetworkFault::NoConnection
        });
    }
    None
}

/// The messages of glibc, musl, macOS and the BSDs for a name that does not exist.
const NO_SUCH_HOST: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];

fn from_io(error: &io::Error) -> Option<NetworkFault> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        if [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error())) {
            return Some(NetworkFault::TooManyFiles);
        }
    }
    #[cfg(windows)]
    match error.raw_os_error() {
        // WSAEMFILE, WSAHOST_NOT_FOUND, WSANO_DATA.
        Some(10024) => return Some(NetworkFault::TooManyFiles),
        Some(11001 | 11004) => return Some(NetworkFault::NoSuchHost),
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Some(NetworkFault::NoConnection),
        _ => None,
    }
}

fn from_tls(error: &TlsError) -> Option<NetworkFault> {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    Some(match error {
        TlsError::InvalidCertificate(bad) => NetworkFault::Certificate(match bad {
            Bad::UnknownIssuer => CertificateFault::Issuer,
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                CertificateFault::Time
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => CertificateFault::Name,
            // Verifiers of other systems report an unknown authority in this way.
            Bad::Other(_) => CertificateFault::Issuer,
            _ => CertificateFault::Other,
        }),
        TlsError::Other(other) if other.0.is::<NoRoots>() => NetworkFault::NoRoots,
        TlsError::PeerIncompatible(_) | TlsError::InvalidMessage(_) => NetworkFault::TlsMismatch,
        TlsError::AlertReceived(
            Alert::ProtocolVersion
            | Alert::HandshakeFailure
            | Alert::InsufficientSecurity
            | Alert::CertificateRequired
            | Alert::AccessDenied
            | Alert::UnrecognisedName,
        ) => NetworkFault::TlsMismatch,
        _ => return None,
    })
}

/// A redirect that was refused, as an error of the redirect policy.
#[derive(Debug)]
pub(crate) struct RedirectRefused {
    pub(crate) why: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for RedirectRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for RedirectRefused {}

/// Converts a failure below HTTP. The URL is removed, because the URL of a tile contains the token.
pub(crate) fn network_error(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if let Some(refused) = redirect_refused(&error) {
        let rejected = Error::new(ErrorKind::Rejected, "").with_source(refused.why.clone());
        return match &refused.hint {
            Some(hint) => rejected.with_hint(hint.clone()),
            None => rejected,
        };
    }
    let kind = if error.is_builder() { ErrorKind::Rejected } else { ErrorKind::Unavailable };
    let hint = NetworkFault::from_error(&error).hint();
    let error = Error::new(kind, "").with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Returns the error of a proxy that answered with status 407.
pub(crate) fn proxy_auth_required() -> Error {
    let error =
        Error::new(ErrorKind::Unreachable, "").with_source("status 407: the proxy requires authentication");
    match NetworkFault::ProxyAuth.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn redirect_refused(error: &reqwest::Error) -> Option<&RedirectRefused> {
    let mut cause = StdError::source(error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref() {
            return Some(refused);
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn wrapped(error: impl Into<Box<dyn StdError + Send + Sync>>) -> NetworkFault {
        // As a connector returns it: inside two I/O errors.
        NetworkFault::from_error(&io::Error::other(io::Error::other(error)))
    }

    #[test]
    fn the_fault_is_found_at_any_depth_of_the_causes() {
        let tls = |error: TlsError| wrapped(error);
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
            NetworkFault::Certificate(CertificateFault::Issuer)
        );
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::Expired)),
            NetworkFault::Certificate(CertificateFault::Time)
        );
        assert_eq!(
            tls(TlsError::InvalidCertificate(CertificateError::NotValidForName)),
            NetworkFault::Certificate(CertificateFault::Name)
        );
        assert_eq!(
            tls(TlsError::AlertReceived(AlertDescription::ProtocolVersion)),
            NetworkFault::TlsMismatch
        );
        assert_eq!(tls(TlsError::AlertReceived(AlertDescription::InternalError)), NetworkFault::Broken);
        assert_eq!(tls(TlsError::Other(rustls::OtherError(Arc::new(NoRoots)))), NetworkFault::NoRoots);
        for (text, fault) in [
            ("failed to lookup address information: Name or service not known", NetworkFault::NoSuchHost),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                NetworkFault::NoConnection,
            ),
            ("tunnel error: proxy authorization required", NetworkFault::ProxyAuth),
            ("SOCKS error: credentials not accepted", NetworkFault::ProxyAuth),
            ("connection closed before message completed", NetworkFault::Broken),
        ] {
            assert_eq!(wrapped(text), fault, "{text}");
        }
        assert_eq!(wrapped(io::Error::from(io::ErrorKind::ConnectionRefused)), NetworkFault::NoConnection);
        assert_eq!(wrapped(io::Error::from(io::ErrorKind::ConnectionReset)), NetworkFault::Broken);
        #[cfg(unix)]
        assert_eq!(wrapped(io::Error::from(rustix::io::Errno::MFILE)), NetworkFault::TooManyFiles);
    }

    #[test]
    fn faults_that_do_not_pass_have_a_hint() {
        for fault in [
            NetworkFault::NoConnection,
            NetworkFault::NoSuchHost,
            NetworkFault::Certificate(CertificateFault::Issuer),
            NetworkFault::Certificate(CertificateFault::Time),
            NetworkFault::Certificate(CertificateFault::Name),
            NetworkFault::Certificate(CertificateFault::Other),
            NetworkFault::TlsMismatch,
            NetworkFault::NoRoots,
            NetworkFault::ProxyAuth,
            NetworkFault::TooManyFiles,
        ] {
            assert!(fault.hint().is_some_and(|hint| !hint.is_empty()), "{fault:?}");
        }
    }
}
