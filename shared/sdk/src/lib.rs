#![doc = include_str!("../README.md")]

mod http;

pub use aws_config::SdkConfig;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use http::Http;

/// The configuration that the environment says, for every client that is made in this process.
pub async fn config() -> SdkConfig {
    let http = Http::new();
    if speaks_tls(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)))) {
        Http::prepare_tls();
    }
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if has_credentials(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty())) {
        return loader.credentials_provider(EnvironmentVariableCredentialsProvider::new()).load().await;
    }
    loader.load().await
}

/// Whether the environment itself has credentials; the SDK takes these before all others.
fn has_credentials(is_set: impl Fn(&str) -> bool) -> bool {
    is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY")
}

/// Whether there is an endpoint that TLS guards: all of AWS's own, and so wherever no plain one takes their place.
fn speaks_tls(variables: impl Iterator<Item = (String, std::ffi::OsString)>) -> bool {
    let mut endpoints = variables.filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL")).peekable();
    endpoints.peek().is_none() || endpoints.any(|(_, url)| !url.to_string_lossy().starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_prepared_unless_every_endpoint_is_plain() {
        let speaks = |all: &[(&str, &str)]| {
            speaks_tls(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())))
        };
        assert!(speaks(&[]));
        assert!(speaks(&[("PATH", "http://x")]));
        assert!(!speaks(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]));
        assert!(speaks(&[("AWS_ENDPOINT_URL", "https://127.0.0.1:1")]));
        let one_of_two =
            [("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_SQS", "https://sqs")];
        assert!(speaks(&one_of_two));
    }

    #[test]
    fn half_of_a_pair_is_no_credentials() {
        assert!(has_credentials(|_| true));
        assert!(!has_credentials(|name| name == "AWS_ACCESS_KEY_ID"));
        assert!(!has_credentials(|name| name == "AWS_SECRET_ACCESS_KEY"));
    }
}
