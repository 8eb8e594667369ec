//! Behind a pooler that hands its connections to others after each transaction.

use gatepost::config::Client;

use super::{OF_USER, Open, fill};
use crate::support::counterparts::or_skip;
use crate::support::databases::{Database, Kind};
use crate::support::pgbouncer::Pooler;

#[tokio::test]
async fn a_pooler_that_shares_its_connections_is_left_nothing_and_loses_no_ask() {
    let server = or_skip!(Database::start(Kind::Postgres).await);
    fill(&server);
    let pooler = or_skip!(Pooler::before(&server).await);
    let url = format!("{}?statement-cache-capacity=0", pooler.url());
    // two of ours share what the pooler has: one connection
    let opens = [(); 2].map(|()| Open::at(&url, &Client::default()));
    for _ in 0..3 {
        let asks = opens
            .iter()
            .flat_map(|open| [open.ask_of(OF_USER, "v"), open.ask_of(OF_USER, "v")]);
        for answer in futures_util::future::join_all(asks).await {
            assert_eq!(answer.unwrap(), ["c"]);
        }
    }
    let left = opens[0]
        .ask("select name from pg_prepared_statements")
        .await;
    assert!(left.unwrap().is_empty());
    // another client of the pooler may write, and for as long as it likes
    let others = pooler.execute(
        "show default_transaction_read_only; show statement_timeout; show client_min_messages; \
         select count(*) from members",
    );
    assert_eq!(others, "off\n0\nnotice\n3");
}
