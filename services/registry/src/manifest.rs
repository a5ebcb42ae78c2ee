//! What the registry needs of its surroundings on AWS: read by the deployment.

use serde::Serialize;

/// What the registry needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Its name.
    pub service: &'static str,
    /// The bucket of schemas, releases and usage.
    pub bucket: Bucket,
    /// The function that answers.
    pub function: Function,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Its name.
    pub name: &'static str,
    /// The variable of the environment that tells it.
    pub variable: &'static str,
    /// Whether what is replaced is kept for a while.
    pub versioned: bool,
    /// The folder of what clients use, which may be forgotten.
    pub usage: &'static str,
}

/// A function behind HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// The handler's name.
    pub handler: &'static str,
    /// Timeout in seconds.
    pub timeout_seconds: u32,
    /// Memory in MB.
    pub memory_mb: u32,
}

/// What the registry needs.
pub fn manifest() -> Manifest {
    Manifest {
        service: "registry",
        bucket: Bucket { name: "schemas", variable: "REGISTRY_BUCKET", versioned: true, usage: "usage/" },
        // API Gateway gives an answer 30 s.
        function: Function { handler: "registry", timeout_seconds: 29, memory_mb: 1024 },
    }
}
