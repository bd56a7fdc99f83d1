//! A server that asks for a password and speaks TLS, with a certificate that a test's own authority has signed.

use std::path::Path;
use std::process::Command;

use storage::cache::Cache;
use storage_redis::{Redis, RedisCache, RedisConfig, State};

use super::server::{Server, connect, free_port};

/// Makes `authority.pem`, which vouches for `server.pem`, whose key is `server.key`.
fn certify(folder: &Path) {
    let openssl = |arguments: &str| {
        let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -keyout authority.key -out authority.pem -subj /CN=authority -days 2"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=redis"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile names -out \
         server.pem",
    );
}

#[tokio::test]
async fn a_server_over_tls_is_signed_in_to() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let tls_port = free_port().to_string();
    let secured = ["--requirepass", "hunter2", "--tls-port", &tls_port, "--tls-auth-clients", "no"];
    let [certificate, key, authority] = ["server.pem", "server.key", "authority.pem"].map(file);
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority];
    let server = Server::start(&[&secured[..], &files].concat()).await;
    let config = RedisConfig {
        urls: vec![format!("rediss://127.0.0.1:{tls_port}")],
        password: Some("hunter2".to_owned()),
        tls_certificates: Some(folder.path().join("authority.pem")),
        ..server.config()
    };
    let cache = RedisCache::new(connect(&config).await);
    assert_eq!(cache.get("a").await.unwrap(), None);

    for (why, wrong) in [
        ("nobody vouches for it", RedisConfig { tls_certificates: None, ..config.clone() }),
        ("the password is another", RedisConfig { password: Some("another".to_owned()), ..config.clone() }),
        ("there is no password", RedisConfig { password: None, ..config.clone() }),
    ] {
        let redis = Redis::open(&wrong).await.unwrap();
        assert_ne!(redis.state(), State::Closed, "{why}");
    }
    let missing = RedisConfig { tls_certificates: Some(folder.path().join("none.pem")), ..config };
    assert!(Redis::open(&missing).await.is_err(), "a file that is not there is no outage");
}
