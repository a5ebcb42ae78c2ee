//! Tokens by which IAM lets a function into a database of RDS's, instead of a password: a request to connect, signed and not
//! sent (<https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html>).

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// How long a token lets somebody connect.
const LIFE: Duration = Duration::from_mins(15);

/// How old a token may be with which a connection is begun; the connection itself lasts longer.
pub(crate) const AGE: SignedDuration = SignedDuration::from_mins(10);

/// What stands for itself in a query string.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes tokens, with the credentials of a function, which are the same as long as its process lives.
#[derive(Clone, Debug)]
pub struct Tokens {
    region: String,
    credentials: Credentials,
}

/// A variable that a function of Lambda has is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing: IAM can't be asked in without it")]
pub struct NoCredentials(&'static str);

impl Tokens {
    /// With these credentials, for databases of a region.
    pub fn new(region: impl Into<String>, credentials: Credentials) -> Self {
        Self { region: region.into(), credentials }
    }

    /// With a function's own credentials, in its own region: Lambda gives them as variables.
    ///
    /// # Errors
    /// Where one of them is missing.
    pub fn from_env() -> Result<Self, NoCredentials> {
        let var = |name| std::env::var(name).map_err(|_| NoCredentials(name));
        let (key, secret) = (var("AWS_ACCESS_KEY_ID")?, var("AWS_SECRET_ACCESS_KEY")?);
        let session = var("AWS_SESSION_TOKEN").ok();
        Ok(Self::new(var("AWS_REGION")?, Credentials::new(key, secret, session, None, "Environment")))
    }

    /// A token for a user of a database, from this time on.
    pub(crate) fn token(
        &self,
        host: &str,
        port: u16,
        user: &str,
        now: Timestamp,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFE);
        let identity = self.credentials.clone().into();
        let parameters: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("rds-db")
            .time(now.into())
            .settings(settings)
            .build()?
            .into();
        let user = utf8_percent_encode(user, ESCAPED);
        let mut token = format!("{host}:{port}/?Action=connect&DBUser={user}");
        let url = format!("https://{token}");
        let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (signature, _) = sign(request, &parameters)?.into_parts();
        for (name, value) in signature.params() {
            token.push('&');
            token.push_str(name);
            token.push('=');
            token.extend(utf8_percent_encode(value, ESCAPED));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_one_that_botocore_makes() {
        let session = Some("a/session+token==".to_owned());
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, session, None, "test");
        let tokens = Tokens::new("eu-west-1", credentials);
        let host = "reports.cluster-abc.eu-west-1.rds.amazonaws.com";
        let token = tokens.token(host, 5433, "reader", "2011-03-01T12:30:00Z".parse().unwrap()).unwrap();
        let parts = |token: &str| {
            let (address, query) = token.split_once('?').unwrap();
            let mut query: Vec<String> = query.split('&').map(str::to_owned).collect();
            query.sort_unstable();
            (address.to_owned(), query)
        };
        let expected = "reports.cluster-abc.eu-west-1.rds.amazonaws.com:5433/?Action=connect&DBUser=reader\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20110301%2Feu-west-1%2Frds-db%2Faws4_request\
            &X-Amz-Date=20110301T123000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
            &X-Amz-Security-Token=a%2Fsession%2Btoken%3D%3D\
            &X-Amz-Signature=08d1428be5238b8a3e9eae47a1ee30b9a33ceeb75f07007a183e97e48c5999e6";
        assert_eq!(parts(&token), parts(expected));
        assert!(!format!("{tokens:?}").contains(secret), "a secret is shown");
    }
}
