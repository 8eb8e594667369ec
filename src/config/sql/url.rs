//! Where a database is. Nothing of a URL is ever repeated: whatever is wrong with it may be the password.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::query::Unfit;
use super::{Database, Dialect};
use crate::config::is_loopback_host;
use crate::secret::Secret;

/// Parameters that say how TLS is spoken, in both spellings.
const MODE: [&str; 2] = ["sslmode", "ssl-mode"];
/// And those that name the authorities.
const AUTHORITIES: [&str; 4] = ["sslrootcert", "ssl-root-cert", "sslca", "ssl-ca"];
const STATEMENTS: &str = "statement-cache-capacity";

const POSTGRES: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    STATEMENTS,
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const MYSQL: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslca",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    STATEMENTS,
    "socket",
    "collation",
];

const FORMS: &str = "write postgres://user:password@host/database, mysql://…, mariadb://… or \
                     sqlite:/path/to/file";

pub(super) fn read(url: &Secret, max_connections: usize) -> Result<Database, Unfit> {
    let text = url.expose();
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let dialect = match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Dialect::Postgres,
        "mysql" | "mariadb" => Dialect::MySql,
        "sqlite" => {
            return Ok(Database {
                dialect: Dialect::Sqlite,
                url: file(text)?,
                names_authorities: false,
                keeps_statements: true,
                is_exposed: false,
                max_connections,
            });
        }
        _other => return Err(Unfit::new("not the URL of a database we can ask", FORMS)),
    };
    let mut url = Url::parse(text).map_err(|error| {
        Unfit::new(
            format!("not a URL ({error})"),
            format!("{FORMS}; encode what is special in a password"),
        )
    })?;
    if url.fragment().is_some() {
        return Err(Unfit::new(
            "there is a # in the URL",
            "write %23 where it is part of the password",
        ));
    }
    let known = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::MySql | Dialect::Sqlite => MYSQL,
    };
    if url.query_pairs().any(|(key, _)| !known.contains(&&*key)) {
        return Err(Unfit::new(
            "a parameter of the URL is not known",
            format!("the known ones are {}", known.join(", ")),
        ));
    }
    let place = Place::of(&url, dialect)?;
    let verifies = if let Some(mode) = stated(&url, &MODE) {
        verifies(&mode, dialect)?
    } else {
        url.query_pairs_mut()
            .append_pair("sslmode", place.mode(dialect));
        place == Place::Elsewhere
    };
    let keeps_statements = match stated(&url, &[STATEMENTS]) {
        None => true,
        Some(capacity) => {
            let capacity: usize = capacity.parse().map_err(|_error| {
                Unfit::new(format!("{STATEMENTS} is not a number"), "write 0 or 100")
            })?;
            capacity > 0
        }
    };
    Ok(Database {
        dialect,
        names_authorities: stated(&url, &AUTHORITIES).is_some(),
        url: Secret::new(url.into()),
        keeps_statements,
        is_exposed: place == Place::Elsewhere && !verifies,
        max_connections,
    })
}

fn stated(url: &Url, names: &[&str]) -> Option<String> {
    let pairs = url.query_pairs();
    let found = pairs.filter(|(key, _)| names.contains(&&**key)).last()?;
    Some(found.1.into_owned())
}

/// Whether such a connection ends at the database the URL names and nowhere else.
fn verifies(mode: &str, dialect: Dialect) -> Result<bool, Unfit> {
    let (modes, fix): ([&str; 6], _) = match dialect {
        Dialect::Postgres => (
            [
                "disable",
                "allow",
                "prefer",
                "require",
                "verify-ca",
                "verify-full",
            ],
            "write sslmode=verify-full, or disable, allow, prefer, require or verify-ca",
        ),
        Dialect::MySql | Dialect::Sqlite => (
            [
                "disabled",
                "preferred",
                "preferred",
                "required",
                "verify_ca",
                "verify_identity",
            ],
            "write ssl-mode=VERIFY_IDENTITY, or DISABLED, PREFERRED, REQUIRED or VERIFY_CA",
        ),
    };
    let mode = mode.to_ascii_lowercase();
    if !modes.contains(&mode.as_str()) {
        return Err(Unfit::new("the URL's sslmode is none", fix));
    }
    Ok(modes.last().is_some_and(|full| *full == mode))
}

/// Who could be on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A socket of this machine.
    Socket,
    /// Loopback.
    Here,
    Elsewhere,
}

impl Place {
    fn of(url: &Url, dialect: Dialect) -> Result<Self, Unfit> {
        let parameter = match dialect {
            Dialect::Postgres => "host",
            Dialect::MySql | Dialect::Sqlite => "socket",
        };
        let host = match stated(url, &[parameter]) {
            Some(host) => host,
            None => match url.host_str() {
                Some(host) if !host.is_empty() => {
                    percent_decode_str(host).decode_utf8_lossy().into_owned()
                }
                _none => {
                    return Err(Unfit::new(
                        "there is no host in the URL",
                        format!("{FORMS}; a socket is named by the parameter `{parameter}`"),
                    ));
                }
            },
        };
        if host.starts_with('/') {
            return Ok(Self::Socket);
        }
        if dialect == Dialect::MySql && stated(url, &["socket"]).is_some() {
            return Err(Unfit::new(
                "socket is no path",
                "write socket=/run/mysqld/mysqld.sock",
            ));
        }
        let host =
            Host::parse(&host).map_err(|_error| Unfit::new("the URL's host is none", FORMS))?;
        Ok(if is_loopback_host(&host) {
            Self::Here
        } else {
            Self::Elsewhere
        })
    }

    /// How TLS is spoken where the URL does not say: to another machine, with the one that was meant
    /// or not at all.
    fn mode(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Socket, Dialect::Postgres) => "disable",
            (Self::Socket, Dialect::MySql | Dialect::Sqlite) => "DISABLED",
            (Self::Here, Dialect::Postgres) => "prefer",
            (Self::Here, Dialect::MySql | Dialect::Sqlite) => "PREFERRED",
            (Self::Elsewhere, Dialect::Postgres) => "verify-full",
            (Self::Elsewhere, Dialect::MySql | Dialect::Sqlite) => "VERIFY_IDENTITY",
        }
    }
}

/// `sqlite:PATH`, opened to be read only.
fn file(text: &str) -> Result<Secret, Unfit> {
    let path = text.split_once(':').map_or("", |(_, path)| path);
    let path = path.strip_prefix("//").unwrap_or(path);
    let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
    if path.is_empty() || path == ":memory:" {
        return Err(Unfit::new(
            "the URL names no file",
            "write sqlite:/path/to/file",
        ));
    }
    let mut kept = "mode=ro".to_owned();
    for (key, value) in url::form_urlencoded::parse(parameters.as_bytes()) {
        match (&*key, &*value) {
            ("mode", "ro") | ("immutable", "false" | "0") => {}
            ("immutable", "true" | "1") => kept.push_str("&immutable=1"),
            _other => {
                return Err(Unfit::new(
                    "a parameter of the URL is not known",
                    "a file is opened to be read only; the known ones are mode=ro and immutable=1",
                ));
            }
        }
    }
    Ok(Secret::new(format!("sqlite:{path}?{kept}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(url: &str) -> Result<Database, Unfit> {
        Database::new(&Secret::new(url.to_owned()), 4)
    }

    #[test]
    fn tls_is_verified_towards_another_machine_unless_the_url_says_otherwise() {
        for (url, meant, is_exposed) in [
            (
                "postgres://a:b@db/c",
                "postgres://a:b@db/c?sslmode=verify-full",
                false,
            ),
            (
                "postgresql://a@10.0.0.1/c",
                "postgresql://a@10.0.0.1/c?sslmode=verify-full",
                false,
            ),
            (
                "postgres://a@127.0.0.1/c",
                "postgres://a@127.0.0.1/c?sslmode=prefer",
                false,
            ),
            (
                "postgres://a@localhost/c",
                "postgres://a@localhost/c?sslmode=prefer",
                false,
            ),
            (
                "postgres://a@[::1]:1/c",
                "postgres://a@[::1]:1/c?sslmode=prefer",
                false,
            ),
            (
                "postgres://a@%2Frun/c",
                "postgres://a@%2Frun/c?sslmode=disable",
                false,
            ),
            (
                "postgres:///c?host=/run",
                "postgres:///c?host=/run&sslmode=disable",
                false,
            ),
            (
                "postgres:///c?host=db",
                "postgres:///c?host=db&sslmode=verify-full",
                false,
            ),
            (
                "postgres://a@localhost/c?host=db",
                "postgres://a@localhost/c?host=db&sslmode=verify-full",
                false,
            ),
            (
                "postgres://db/c?sslmode=verify-full",
                "postgres://db/c?sslmode=verify-full",
                false,
            ),
            (
                "postgres://db/c?sslmode=verify-ca",
                "postgres://db/c?sslmode=verify-ca",
                true,
            ),
            (
                "postgres://db/c?sslmode=require",
                "postgres://db/c?sslmode=require",
                true,
            ),
            (
                "postgres://db/c?sslmode=disable",
                "postgres://db/c?sslmode=disable",
                true,
            ),
            (
                "postgres://localhost/c?sslmode=disable",
                "postgres://localhost/c?sslmode=disable",
                false,
            ),
            (
                "mysql://a:b@db/c",
                "mysql://a:b@db/c?sslmode=VERIFY_IDENTITY",
                false,
            ),
            (
                "mariadb://a:b@db/c",
                "mariadb://a:b@db/c?sslmode=VERIFY_IDENTITY",
                false,
            ),
            (
                "mysql://localhost/c",
                "mysql://localhost/c?sslmode=PREFERRED",
                false,
            ),
            (
                "mysql://a@x/c?socket=/run/m.sock",
                "mysql://a@x/c?socket=/run/m.sock&sslmode=DISABLED",
                false,
            ),
            (
                "mysql://db/c?ssl-mode=required",
                "mysql://db/c?ssl-mode=required",
                true,
            ),
            (
                "sqlite:/var/lib/a.db",
                "sqlite:/var/lib/a.db?mode=ro",
                false,
            ),
            (
                "sqlite:///var/lib/a.db",
                "sqlite:/var/lib/a.db?mode=ro",
                false,
            ),
            (
                "sqlite:a.db?mode=ro&immutable=1",
                "sqlite:a.db?mode=ro&immutable=1",
                false,
            ),
        ] {
            let database = database(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(database.url.expose(), meant);
            assert_eq!(database.is_exposed, is_exposed, "{url}");
        }
    }

    #[test]
    fn the_url_says_whether_statements_are_kept_and_who_signs() {
        let kept = |url| {
            let database = database(url).unwrap();
            (database.keeps_statements, database.names_authorities)
        };
        assert_eq!(kept("postgres://db/c"), (true, false));
        assert_eq!(
            kept("postgres://db/c?statement-cache-capacity=0"),
            (false, false)
        );
        assert_eq!(
            kept("mysql://db/c?statement-cache-capacity=5"),
            (true, false)
        );
        assert_eq!(kept("postgres://db/c?sslrootcert=/ca.pem"), (true, true));
        assert_eq!(kept("mysql://db/c?ssl-ca=/ca.pem"), (true, true));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_and_never_repeated() {
        for url in [
            "hunter2",
            "http://hunter2@db/hunter2",
            "mssql://hunter2@db",
            "postgres://a:hunter2@/c",
            "postgres:hunter2",
            "postgres://a:hunter2@db:port/c",
            "postgres://a:hunter2#@db/c",
            "postgres://a@db/c#hunter2",
            "postgres://a:hunter2@db/c?hunter2=1",
            "postgres://a:hunter2@db/c?sslmdoe=disable",
            "postgres://a:hunter2@db/c?sslmode=hunter2",
            "postgres://a:hunter2@db/c?sslmode=required",
            "postgres://a:hunter2@db/c?statement-cache-capacity=hunter2",
            "mysql://a:hunter2@db/c?ssl-mode=verify-full",
            "mysql://a:hunter2@db/c?charset=latin1",
            "mysql://a:hunter2@db/c?socket=hunter2",
            "mysql://",
            "sqlite:",
            "sqlite::memory:",
            "sqlite://",
            "sqlite:hunter2?mode=rw",
            "sqlite:hunter2?mode=memory",
            "sqlite:hunter2?cache=shared",
        ] {
            let error = database(url).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{url}: {error}");
            let shown = format!("{:?}", database("postgres://a:hunter2@db/c").unwrap());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
