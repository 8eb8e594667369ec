//! How many connections there may be, and who gets one that comes back.

use super::*;
use crate::client::pool::limit::Room;

/// A pool with at most this many connections, each awaited for so long.
fn pool_with(most: usize, patience: Duration, address: SocketAddr) -> Pool {
    pool_of(&config::Server {
        max_connections: most,
        connect_timeout: patience,
        ..server_of(&[address])
    })
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_one_that_comes_back_is_passed_on() {
    let (address, connections) = server(|_| Some(OK)).await;
    let pool = pool_with(1, Duration::from_millis(200), address);
    // its body is not read yet, so its connection is in use
    let first = send(&pool, get(&pool), PATIENCE).await.unwrap();
    let full = send(&pool, get(&pool), PATIENCE).await;
    assert_eq!(full.unwrap_err(), SendError::Overloaded);
    let (second, _read) = tokio::join!(send(&pool, get(&pool), PATIENCE), read(Ok(first)));
    assert_eq!(read(second).await, "ok");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    // another worker's idle connection gives way
    assert_eq!(
        read(send_by(1, &pool, get(&pool), PATIENCE).await).await,
        "ok"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    assert_eq!(pool.report()["connections"], 1);
    // and so does one that another worker gives back
    let third = send(&pool, get(&pool), PATIENCE).await.unwrap();
    let (fourth, _read) = tokio::join!(send_by(1, &pool, get(&pool), PATIENCE), read(Ok(third)));
    assert_eq!(read(fourth).await, "ok");
}

#[tokio::test]
async fn of_those_that_come_back_another_worker_gets_what_its_own_does_not_wait_for() {
    let (address, _connections) = server(|_| Some(OK)).await;
    let pool = pool_with(2, PATIENCE, address);
    let first = send(&pool, get(&pool), PATIENCE).await;
    let second = send(&pool, get(&pool), PATIENCE).await;
    let (own, other, _first, _second) = tokio::join!(
        send(&pool, get(&pool), PATIENCE),
        send_by(1, &pool, get(&pool), PATIENCE),
        read(first),
        read(second),
    );
    // neither has been read yet
    assert!(own.is_ok() && other.is_ok());
}

#[tokio::test]
async fn one_that_comes_back_and_will_not_do_makes_room() {
    let (address, _connections) = server(|_| Some(OK)).await;
    for fits in [true, false] {
        let pool = pool_with(1, PATIENCE, address);
        let first = send(&pool, get(&pool), PATIENCE).await;
        let Shared {
            limit,
            lanes,
            addresses,
            ..
        } = &*pool.0;
        let address = Arc::clone(addresses.now().pick(0, &[]).unwrap());
        let deadline = Instant::now() + PATIENCE;
        let room = limit.room(&address, &lanes[0], lanes, |_address| fits, deadline);
        let (room, _first) = tokio::join!(room, read(first));
        assert_eq!(matches!(room, Some(Room::Returned(_))), fits);
        assert_eq!(matches!(room, Some(Room::Open(_))), !fits);
    }
}
