//! What a head carries may end while it waits for a connection.

use std::sync::atomic::AtomicBool;

use super::*;

/// Why nothing was sent.
#[derive(Debug, PartialEq)]
enum Unsent {
    Ended,
    Failed(SendError),
}

impl From<SendError> for Unsent {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

async fn send_while(
    pool: &Pool,
    still_good: impl Fn() -> bool + Send + Sync,
) -> Result<Response<Reply>, Unsent> {
    let head = || Ok(get(pool).map(drop));
    let still_good = || still_good().then_some(()).ok_or(Unsent::Ended);
    pool.send(0, Payload::Empty, PATIENCE, head, still_good)
        .await
}

/// The third request that a server hears is answered so.
const THIRD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthird";

#[tokio::test]
async fn what_ends_while_its_request_waits_is_not_sent_and_leaves_the_connection_to_the_next() {
    let (address, connections) = server(|n| Some(if n == 2 { THIRD } else { OK })).await;
    let pool = pool_of(&config::Server {
        max_connections: 1,
        ..server_of(&[address])
    });
    assert_eq!(read(send(&pool, get(&pool), PATIENCE).await).await, "ok");
    let good = AtomicBool::new(true);
    let second = send(&pool, get(&pool), PATIENCE).await;
    let ends = async {
        tokio::task::yield_now().await;
        good.store(false, Ordering::SeqCst);
        read(second).await
    };
    let waits = send_while(&pool, || good.load(Ordering::SeqCst));
    let (waited, _second) = tokio::join!(waits, ends);
    assert_eq!(waited.unwrap_err(), Unsent::Ended);
    assert_eq!(read(send(&pool, get(&pool), PATIENCE).await).await, "third");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_ends_is_not_sent_once_more_by_a_fresh_connection() {
    for good_for in [1, 2] {
        // request 1 is heard and not answered: the server closed as we wrote
        let answer = |n| match n {
            1 => Some(""),
            2 => Some(THIRD),
            _other => Some(OK),
        };
        let (address, _connections) = server(answer).await;
        let pool = pool_of(&server_of(&[address]));
        read(send(&pool, get(&pool), PATIENCE).await).await;
        let asked = AtomicUsize::new(0);
        let still_good = || asked.fetch_add(1, Ordering::SeqCst) < good_for;
        let sent = send_while(&pool, still_good).await;
        assert_eq!(sent.is_err(), good_for == 1);
        let third = match sent {
            Ok(again) => Ok(again),
            Err(unsent) => {
                assert_eq!(unsent, Unsent::Ended);
                send(&pool, get(&pool), PATIENCE).await
            }
        };
        assert_eq!(read(third).await, "third");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
