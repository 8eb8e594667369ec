//! A real `PgBouncer` before a PostgreSQL: one connection, another client's after each transaction.

use std::process::Command;

use tempfile::TempDir;

use super::counterparts::{free_port, python, skipped};
use super::databases::{Database, PASSWORD, Running};
use super::eventually;
use super::programs::find;

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Pooler {
    port: u16,
    _running: Running,
    _directory: TempDir,
}

impl Pooler {
    /// `None`, said on stderr, if the machine has none.
    pub(crate) async fn before(server: &Database) -> Option<Self> {
        let program = find("pgbouncer").or_else(|| skipped("pgbouncer"))?;
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let own = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "[databases]\napp = host=127.0.0.1 port={} dbname=app\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\n",
            server.port,
            own("users")
        );
        for (name, content) in [
            ("pgbouncer.ini", config),
            ("users", format!("\"app\" \"{PASSWORD}\"\n")),
        ] {
            std::fs::write(directory.path().join(name), content).expect("written");
        }
        let fill = ["/bin/mkdir".to_owned(), "data".to_owned()];
        let serve = [program.display().to_string(), own("pgbouncer.ini")];
        let running = Running::as_nobody(python("database.py")?, &directory, &fill, &serve);
        let pooler = Self {
            port,
            _running: running,
            _directory: directory,
        };
        eventually("pgbouncer answers", async || pooler.try_execute("select 1")).await;
        Some(pooler)
    }

    /// As the user who may only read.
    pub(crate) fn url(&self) -> String {
        format!("postgres://app:{PASSWORD}@127.0.0.1:{}/app", self.port)
    }

    /// What `psql` prints for these statements, run by the user `app`.
    pub(crate) fn execute(&self, statements: &str) -> String {
        self.try_execute(statements).expect("an answer")
    }

    fn try_execute(&self, statements: &str) -> Option<String> {
        let output = Command::new(find("psql")?)
            .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "app"])
            .args(["-d", "app", "-p", &self.port.to_string(), "-c", statements])
            .env_clear()
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim_end().to_owned())
    }
}
