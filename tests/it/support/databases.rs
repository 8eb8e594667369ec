//! Real databases: PostgreSQL and MariaDB, each in a folder of its own, as nobody if the tests are root;
//! and files of SQLite.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use super::counterparts::{free_port, python, skipped};
use super::gatepost::Lines;
use super::programs::find;
use super::{eventually, signals};

/// The password of the user `app`, who may only read.
pub(crate) const PASSWORD: &str = "s3cret-database-password";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
    Sqlite,
}

pub(crate) const SERVERS: [Kind; 2] = [Kind::Postgres, Kind::MariaDb];
pub(crate) const ALL: [Kind; 3] = [Kind::Postgres, Kind::MariaDb, Kind::Sqlite];

/// A running database with an empty database `app`; ended wholly when dropped. SQLite does not run.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    running: Option<Running>,
    directory: TempDir,
    /// Takes connections with TLS only.
    secure: bool,
}

/// A server that runs as nobody, ended with all its processes when dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    stderr: Lines,
}

impl Running {
    /// Started by this script with a directory of its own, filled by the first command.
    pub(super) fn as_nobody(
        mut script: Command,
        directory: &TempDir,
        fill: &[String],
        serve: &[String],
    ) -> Self {
        let mut child = script
            .arg(directory.path())
            .arg(json!(fill).to_string())
            .arg(json!(serve).to_string())
            .env_clear()
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("an installed program starts");
        let stderr = Lines::of(child.stderr.take().expect("piped"));
        Self { child, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // an error means that it has ended already
        drop(self.child.kill());
        drop(self.child.stdin.take());
        drop(self.child.wait());
        // whoever still runs would write to a directory that is removed next
        self.stderr.wait();
        if std::thread::panicking() {
            eprintln!("--- the database wrote:\n{}", self.stderr.text());
        }
    }
}

impl Database {
    /// `None`, said on stderr, if the machine has none.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        Self::prepared(kind, tempfile::tempdir().expect("a directory"), false).await
    }

    /// The same, which takes connections with TLS alone: for `localhost`, its certificate signed by this
    /// authority.
    pub(crate) async fn secure(
        kind: Kind,
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        for (name, pem) in [
            ("server.pem", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let file = directory.path().join(name);
            std::fs::write(&file, pem).expect("written");
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, private).expect("permissions");
        }
        Self::prepared(kind, directory, true).await
    }

    async fn prepared(kind: Kind, directory: TempDir, secure: bool) -> Option<Self> {
        let mut database = Self {
            kind,
            port: 0,
            running: None,
            directory,
            secure,
        };
        if kind == Kind::Sqlite {
            find("sqlite3").or_else(|| skipped("sqlite3"))?;
            return Some(database);
        }
        loop {
            database.port = free_port();
            database.running = Some(database.spawn()?);
            // the port may have become another's
            if database.answers().await {
                break;
            }
        }
        database.run(match kind {
            Kind::Postgres => "create database app",
            Kind::MariaDb => "delete from mysql.global_priv where user = ''; flush privileges; create database app",
            Kind::Sqlite => "",
        }, false);
        let tls = if secure { " require ssl" } else { "" };
        match kind {
            Kind::Postgres => database.execute(&format!(
                "create user app password '{PASSWORD}'; \
                 alter default privileges grant select on tables to app"
            )),
            Kind::MariaDb => database.execute(&format!(
                "create user app@'%' identified by '{PASSWORD}'{tls}; \
                 grant select, execute on app.* to app@'%'"
            )),
            Kind::Sqlite => String::new(),
        };
        Some(database)
    }

    fn spawn(&self) -> Option<Running> {
        let (fill, serve) = match self.kind {
            Kind::Postgres => self.postgres()?,
            Kind::MariaDb => self.mariadb()?,
            Kind::Sqlite => return None,
        };
        let script = python("database.py")?;
        Some(Running::as_nobody(script, &self.directory, &fill, &serve))
    }

    /// How its data are made, and how it is started.
    fn postgres(&self) -> Option<(Vec<String>, Vec<String>)> {
        let programs = postgres_programs().or_else(|| skipped("postgresql"))?;
        find("psql").or_else(|| skipped("psql"))?;
        let own = |name: &str| self.directory.path().join(name).display().to_string();
        let program = |name: &str| programs.join(name).display().to_string();
        let host = if self.secure { "hostssl" } else { "host" };
        let access = format!(
            "local all admin trust\n{host} all admin 127.0.0.1/32 trust\n\
             {host} all all 127.0.0.1/32 scram-sha-256\n"
        );
        std::fs::write(own("access"), access).expect("written");
        let fill = words(
            &program("initdb"),
            "-U admin --auth trust --no-sync --no-locale -E UTF8 -D data",
        );
        let port = self.port;
        let mut settings = format!(
            "listen_addresses=127.0.0.1 port={port} fsync=off shared_buffers=16MB \
             max_connections=30 hba_file={} unix_socket_directories={}",
            own("access"),
            self.directory.path().display(),
        );
        if self.secure {
            let (certificate, key) = (own("server.pem"), own("server.key"));
            settings.push_str(" ssl=on");
            for (name, file) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
                settings.extend([" ", name, "=", &file]);
            }
        }
        let mut serve = words(&program("postgres"), "-D data");
        for setting in settings.split_whitespace() {
            serve.extend(["-c".to_owned(), setting.to_owned()]);
        }
        Some((fill, serve))
    }

    fn mariadb(&self) -> Option<(Vec<String>, Vec<String>)> {
        let server = find("mariadbd").or_else(|| skipped("mariadbd"))?;
        let install = find("mariadb-install-db").or_else(|| skipped("mariadb-install-db"))?;
        find("mariadb").or_else(|| skipped("mariadb"))?;
        let directory = self.directory.path().display();
        let small = format!("--no-defaults --datadir={directory}/data --innodb-log-file-size=4M");
        let fill = words(
            &install.display().to_string(),
            &format!("{small} --auth-root-authentication-method=normal --skip-test-db"),
        );
        let mut settings = format!(
            "{small} --socket={directory}/socket --port={} --bind-address=127.0.0.1 \
             --skip-log-bin --character-set-server=utf8mb4 --innodb-flush-log-at-trx-commit=2 --innodb-buffer-pool-size=16M \
             --pid-file={directory}/pid",
            self.port
        );
        if self.secure {
            for (name, file) in [("--ssl-cert", "server.pem"), ("--ssl-key", "server.key")] {
                let path = self.directory.path().join(file).display().to_string();
                settings.extend([" ", name, "=", &path]);
            }
        }
        Some((fill, words(&server.display().to_string(), &settings)))
    }

    /// Waits until it answers; `false` if it ended.
    async fn answers(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        let child = RefCell::new(&mut running.child);
        let this = Client::of(self.kind, self.port, &self.directory);
        let answers = eventually("the database answers", || async {
            if child.borrow_mut().try_wait().expect("our child").is_some() {
                return Some(false);
            }
            let answer = this.run("select 1", false);
            answer.status.success().then_some(true)
        })
        .await;
        if !answers {
            eprintln!("a database ended: {}", running.stderr.text());
        }
        answers
    }

    /// As the user who may only read.
    pub(crate) fn url(&self) -> String {
        self.url_of("app", PASSWORD, "app")
    }

    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        let host = if self.secure {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mariadb",
            Kind::Sqlite => return format!("sqlite:{}", self.file().display()),
        };
        format!(
            "{scheme}://{user}:{password}@{host}:{}/{database}",
            self.port
        )
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    /// What the database's own client prints for these statements, run as its administrator; columns are
    /// separated by a bar or tab.
    pub(crate) fn execute(&self, statements: &str) -> String {
        self.run(statements, true)
    }

    fn run(&self, statements: &str, in_app: bool) -> String {
        let client = Client::of(self.kind, self.port, &self.directory);
        let output = client.run(statements, in_app);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        let text = String::from_utf8(output.stdout).expect("a text");
        text.trim_end().to_owned()
    }

    /// Takes connections and says nothing from now on.
    pub(crate) async fn hang(&self) {
        signals::hang(self.child()).await;
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        signals::signal(self.child(), "CONT");
    }

    fn child(&self) -> &Child {
        &self.running.as_ref().expect("it runs").child
    }

    /// Ends it at once, with all its processes.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again at the same port, with what it kept.
    pub(crate) async fn revive(&mut self) {
        self.kill();
        self.running = self.spawn();
        assert!(self.answers().await, "the port is taken");
    }
}

/// A database's own client, as its administrator, by the socket.
struct Client {
    kind: Kind,
    port: u16,
    directory: PathBuf,
}

impl Client {
    fn of(kind: Kind, port: u16, directory: &TempDir) -> Self {
        Self {
            kind,
            port,
            directory: directory.path().to_owned(),
        }
    }

    fn run(&self, statements: &str, in_app: bool) -> Output {
        let directory = self.directory.display();
        let (program, arguments) = match self.kind {
            Kind::Postgres => (
                "psql",
                format!(
                    "-X -q -A -t -v ON_ERROR_STOP=1 -h {directory} -p {} -U admin -d {}",
                    self.port,
                    if in_app { "app" } else { "postgres" }
                ),
            ),
            Kind::MariaDb => (
                "mariadb",
                format!(
                    "--no-defaults --batch --skip-column-names --default-character-set=utf8mb4 \
                     --socket={directory}/socket -uroot {}",
                    if in_app { "app" } else { "mysql" }
                ),
            ),
            Kind::Sqlite => ("sqlite3", format!("-bail {directory}/app.db")),
        };
        let mut child = Command::new(find(program).expect("found before"))
            .args(arguments.split_whitespace())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("an installed program starts");
        let mut stdin = child.stdin.take().expect("piped");
        let statements = statements.to_owned();
        let write = std::thread::spawn(move || stdin.write_all(statements.as_bytes()));
        let output = child.wait_with_output().expect("our child");
        // one that fails does not read to the end
        drop(write.join().expect("no panic"));
        output
    }
}

/// Where the programs of PostgreSQL are: Debian keeps a folder for each version.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let debian = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("postgres").is_file())
        .max();
    debian.or_else(|| {
        let program = find("postgres")?.canonicalize().ok()?;
        let bin = program.parent()?.to_owned();
        bin.join("initdb").is_file().then_some(bin)
    })
}

fn words(program: &str, arguments: &str) -> Vec<String> {
    let arguments = arguments.split_whitespace().map(str::to_owned);
    std::iter::once(program.to_owned())
        .chain(arguments)
        .collect()
}
