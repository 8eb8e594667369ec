//! `gatepost doctor`: plays the impostor before the user's real proxy, and tells what got through
//! to the app.
//!
//! It needs an echo route: one whose answer shows the request headers that arrived. Each probe says
//! a word nobody else knows, so that any echo will do, whatever its format.

mod probes;
mod route;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use url::Url;

use self::probes::{Group, Probe};
use self::route::Route;
use crate::cli::complain;
use crate::cli::token_file::authorization;
use crate::client::tls;

/// Exit code where nothing could be told: the route cannot be reached, or is no echo.
const EXIT_UNKNOWN: u8 = 2;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// An echo route behind your proxy: it answers with the headers of the request that reached it
    #[arg(long, value_name = "URL")]
    url: Url,
    /// A file with a token that opens the route (`-`: standard input); without it the route must be
    /// public
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A public path of the same host, which probes pretend to ask for; may be repeated
    #[arg(long = "public", value_name = "PATH")]
    public: Vec<String>,
    /// Certificates (PEM) to believe instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Probes and prints what leaks. Exits 0 if nothing does, 1 if something does, 2 if it cannot be told.
pub fn run(args: &DoctorArgs) -> ExitCode {
    tls::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let told = match runtime {
        Ok(runtime) => runtime.block_on(examine(args)),
        Err(error) => Err(error.to_string()),
    };
    match told {
        Ok(report) => {
            // there is nobody left to tell that stdout is gone
            let _lost = write!(std::io::stdout(), "{}", report.text);
            match report.leaks {
                0 => ExitCode::SUCCESS,
                _some => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            complain(&format_args!("gatepost: {error}"));
            ExitCode::from(EXIT_UNKNOWN)
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    text: String,
    probes: usize,
    leaks: usize,
}

impl Report {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn group(&mut self, group: &Group, leaks: &[&Probe]) {
        self.probes += group.probes.len();
        self.leaks += leaks.len();
        for probe in leaks {
            self.line(&format!("LEAK  {}", probe.leak));
        }
        if leaks.is_empty() {
            self.line(&format!(
                "ok    {}: {} probes",
                group.holds,
                group.probes.len()
            ));
        } else {
            self.line(&format!("      {}", group.remedy));
        }
    }
}

async fn examine(args: &DoctorArgs) -> Result<Report, String> {
    let authorization = match &args.token_file {
        Some(file) => Some(authorization(file).map_err(|error| error.to_string())?),
        None => None,
    };
    let route = Route::new(&args.url, authorization, args.ca_file.as_deref())?;
    let shown = route.look().await?;
    let mut report = Report::default();
    report.line(&format!(
        "{}: what a client says that the app must not hear",
        args.url
    ));
    for group in probes::groups(&route, &shown, &args.public) {
        let mut leaks = Vec::new();
        for probe in &group.probes {
            if route.leaks(probe).await? {
                leaks.push(probe);
            }
        }
        report.group(&group, &leaks);
    }
    // so that no probe was answered by a route that had changed
    route.look().await?;
    if !route.has_token() {
        report.line("note  without --token-file nothing is told of what a credential opens");
    } else if !shown.refuses_strangers {
        report.line("note  the route is open without a credential: there is nothing to get past");
    }
    let Report { probes, leaks, .. } = report;
    report.line(&match leaks {
        1 => format!("1 leak in {probes} probes"),
        _other => format!("{leaks} leaks in {probes} probes"),
    });
    Ok(report)
}
