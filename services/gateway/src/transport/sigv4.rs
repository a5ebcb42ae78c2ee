use std::time::SystemTime;

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::http_client::{Signer, Unsigned};

/// Signs requests as AWS wants it (Signature Version 4), for function URLs and API Gateways that IAM guards. Service and
/// region follow from the address; what goes elsewhere is not signed.
#[derive(Debug, Clone)]
pub struct SigV4 {
    credentials: SharedCredentialsProvider,
    clock: fn() -> SystemTime,
}

impl SigV4 {
    /// Signs with these credentials, as of the time that the clock tells.
    pub fn new(credentials: SharedCredentialsProvider, clock: fn() -> SystemTime) -> Self {
        Self { credentials, clock }
    }
}

#[async_trait]
impl Signer for SigV4 {
    async fn sign(&self, request: &Unsigned<'_>) -> Result<HeaderMap, String> {
        match guarded(request.url) {
            Some((service, region)) => self.sign_for(service, &region, request).await,
            None => Ok(HeaderMap::new()),
        }
    }
}

impl SigV4 {
    /// The headers that a signed request to a service has besides its own.
    pub(super) async fn sign_for(
        &self,
        service: &str,
        region: &str,
        request: &Unsigned<'_>,
    ) -> Result<HeaderMap, String> {
        let Unsigned { method, url, content_type, body } = *request;
        let failed = |error: &dyn std::error::Error| telemetry::error_chain(error);
        let credentials = self.credentials.provide_credentials().await.map_err(|error| failed(&error))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time((self.clock)())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        // Nothing else that is on the request is signed: proxies may change it.
        let signed = content_type.map(|it| ("content-type", it)).into_iter();
        let request = SignableRequest::new(method.as_str(), url, signed, SignableBody::Bytes(body));
        let request = request.map_err(|error| failed(&error))?;
        let (instructions, _) = sign(request, &parameters).map_err(|error| failed(&error))?.into_parts();
        let mut headers = HeaderMap::new();
        for header in instructions.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value()).map_err(|error| failed(&error))?;
            value.set_sensitive(header.sensitive());
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(headers)
    }
}

/// The service and the region of an address that IAM may guard.
fn guarded(url: &str) -> Option<(&'static str, String)> {
    let uri: Uri = url.parse().ok()?;
    let mut labels = uri.host()?.split('.').skip(1);
    let service = match labels.next()? {
        "lambda-url" => "lambda",
        "execute-api" => "execute-api",
        _ => return None,
    };
    let region = labels.next()?.to_owned();
    let of_aws = matches!(
        labels.collect::<Vec<_>>()[..],
        ["on", "aws"] | ["amazonaws", "com"] | ["amazonaws", "com", "cn"]
    );
    of_aws.then_some((service, region))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::Credentials;
    use http::Method;

    use super::*;

    fn post<'a>(url: &'a str, body: &'a [u8]) -> Unsigned<'a> {
        Unsigned { method: &Method::POST, url, content_type: Some("application/json"), body }
    }

    fn signer() -> SigV4 {
        let credentials = Credentials::new("KEY", "secret", Some("session".to_owned()), None, "test");
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        SigV4::new(SharedCredentialsProvider::new(credentials), clock)
    }

    #[tokio::test]
    async fn requests_are_signed_for_the_service_and_region_of_their_address() {
        let url = "https://shop.lambda-url.eu-west-1.on.aws/graphql";
        let signed = signer().sign(&post(url, b"{}")).await.unwrap();
        assert_eq!(signed["x-amz-date"], "20231114T221320Z");
        assert_eq!(signed["x-amz-security-token"], "session");
        // Worked out by hand, after the description of the algorithm.
        let signature = "929adc74500ef75e6d74a4fe21b8bcf7ac3be148336cfb9e772ab415c4890c08";
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=KEY/20231114/eu-west-1/lambda/aws4_request, \
             SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature={signature}"
        );
        assert_eq!(signed["authorization"], expected);
        let asked = format!("{url}?extensions=%7B%22a%22%3A1%7D&variables=%7B%22b%22%3A%22c%20%2B%22%7D");
        let get = Unsigned { method: &Method::GET, url: &asked, content_type: None, body: b"" };
        let authorization = signer().sign(&get).await.unwrap()["authorization"].to_str().unwrap().to_owned();
        let signature = "9ef625ea031076058fce459ebd04a282b2bb105e7602a24237a815fa65b41db2";
        assert!(
            authorization.ends_with(&format!(
                "=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature={signature}"
            )),
            "{authorization}"
        );
        let other = signer().sign(&post(url, b"[]")).await.unwrap();
        assert_ne!(signed["authorization"], other["authorization"]);
    }

    #[tokio::test]
    async fn what_goes_elsewhere_is_not_signed() {
        assert_eq!(
            guarded("https://id.execute-api.us-east-2.amazonaws.com/prod/graphql"),
            Some(("execute-api", "us-east-2".to_owned()))
        );
        for url in [
            "https://example.org/graphql",
            "http://127.0.0.1:4000/graphql",
            "https://a.lambda-url.eu-west-1.on.aws.example.org/",
            "nowhere",
        ] {
            assert!(signer().sign(&post(url, b"{}")).await.unwrap().is_empty(), "{url}");
        }
    }
}
