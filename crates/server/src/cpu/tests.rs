use super::*;

/// A job that says that it runs, and ends when it is told to.
fn held(pool: &Arc<Pool>, turn: Turn) -> (oneshot::Receiver<()>, std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let (started, is_started) = oneshot::channel();
    let pool = pool.clone();
    let job = tokio::spawn(async move {
        pool.run_in_turn(turn, move || {
            let _ = started.send(());
            told.recv().map_err(|e| Error::internal(e.to_string()))
        })
        .await
    });
    (is_started, tell, job)
}

fn of(tenant: &str, at_once: Option<usize>) -> Turn {
    Turn { of: tenant.into(), at_once }
}

#[tokio::test]
async fn a_full_pool_turns_away_and_a_panic_frees_its_place() {
    let pool = Arc::new(Pool::new("tests", 1, Duration::from_millis(1)));
    let (is_started, tell, busy) = held(&pool, Turn::any());
    is_started.await.unwrap();
    assert_eq!(pool.run(|| Ok(())).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!((pool.turned_away(), pool.running()), (1, 1));
    assert!(!pool.drained(Duration::from_millis(1)).await);
    tell.send(()).unwrap();
    busy.await.unwrap().unwrap();
    assert_eq!(pool.run::<()>(|| panic!("on purpose")).await.unwrap_err().kind(), Kind::Internal);
    assert_eq!(pool.panics(), 1);
    assert!(pool.drained(Duration::from_secs(60)).await);
    assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn tenants_take_turns() {
    let pool = Arc::new(Pool::new("queries", 1, Duration::from_secs(60)));
    let (is_started, tell, first) = held(&pool, of("busy", None));
    is_started.await.unwrap();
    let order = Arc::new(Mutex::new(vec![]));
    let mut jobs = vec![];
    for tenant in ["busy", "busy", "busy", "quiet"] {
        let job = {
            let (pool, order) = (pool.clone(), order.clone());
            tokio::spawn(async move {
                let note = move || {
                    order.lock().push(tenant);
                    Ok(())
                };
                pool.run_in_turn(of(tenant, None), note).await
            })
        };
        // Each is in its queue before the next one comes.
        while pool.places.queues.lock().waiting.values().map(VecDeque::len).sum::<usize>() <= jobs.len() {
            tokio::task::yield_now().await;
        }
        jobs.push(job);
    }
    tell.send(()).unwrap();
    first.await.unwrap().unwrap();
    for j in jobs {
        j.await.unwrap().unwrap();
    }
    assert_eq!(*order.lock(), ["busy", "quiet", "busy", "busy"]);
}

#[tokio::test]
async fn a_tenant_at_its_bound_waits_for_itself_alone() {
    let pool = Arc::new(Pool::new("queries", 4, Duration::from_millis(20)));
    let (is_started, tell, busy) = held(&pool, of("a", Some(1)));
    is_started.await.unwrap();
    let refused = pool.run_in_turn(of("a", Some(1)), || Ok(())).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::LimitExceeded);
    assert!(refused.message().contains("queries.at_once = 1"), "{refused}");
    assert!(refused.message().contains("tenants.<tenant>.queries.at_once"), "{refused}");
    pool.run_in_turn(of("b", Some(1)), || Ok(())).await.expect("other tenants have places");
    tell.send(()).unwrap();
    busy.await.unwrap().unwrap();
    pool.run_in_turn(of("a", Some(1)), || Ok(())).await.expect("its place is free again");
}

#[tokio::test]
async fn who_goes_away_while_waiting_takes_no_place() {
    let pool = Arc::new(Pool::new("queries", 1, Duration::from_secs(60)));
    let (is_started, tell, busy) = held(&pool, of("a", None));
    is_started.await.unwrap();
    let (_, _, gone) = held(&pool, of("a", None));
    while pool.places.queues.lock().waiting.is_empty() {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    tell.send(()).unwrap();
    busy.await.unwrap().unwrap();
    assert_eq!(pool.run_in_turn(of("b", None), || Ok(3)).await.unwrap(), 3);
    assert!(pool.drained(Duration::from_secs(60)).await);
}
