//! `GET /loki/api/v1/tail`: a websocket over which lines come as they arrive.
//!
//! A client that takes its messages slowly loses lines and is told which; the server holds no more than a few messages for it.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use base::{Error, Kind, Result};
use futures_util::{SinkExt, StreamExt};
use logs::query::Stream;
use logs::response::{self, Dropped};
use logs::tail::Tail;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{DEFAULT_LIMIT, DEFAULT_SINCE_NS, computed, now_ns, response_options, time_of};
use crate::app::{App, Asking, Call};
use crate::limits;
use crate::routes::Answer;

/// `GET /loki/api/v1/tail?query=&start=&limit=&delay_for=`
pub(crate) async fn tail(mut call: Call) -> Answer {
    let params = call.params().await?;
    let start_ns = time_of(&params, "start")?.unwrap_or_else(|| now_ns(&call).saturating_sub(DEFAULT_SINCE_NS));
    let delay_s = params.number("delay_for")?.unwrap_or(0);
    let delay_ns = i64::try_from(delay_s).ok().and_then(|s| s.checked_mul(base::units::SECOND_NS)).filter(|d| *d <= limits::TAIL_DELAY_NS);
    let delay_ns = delay_ns.ok_or_else(|| Error::invalid("delay_for can't be greater than 5 seconds"))?;
    let limit = usize::try_from(params.number("limit")?.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX).min(limits_of_history());
    let tail = Tail::new(params.require("query")?, start_ns, delay_ns)?;
    let socket = call.upgrade.take().ok_or_else(|| Error::invalid("this path speaks websocket: the request does not ask for it"))?;
    let place = call.app.tails.clone().try_acquire_owned().map_err(|_| {
        Error::new(
            Kind::LimitExceeded,
            format!("max concurrent tail requests limit exceeded, count > limit ({} > {})", limits::TAILS + 1, limits::TAILS),
        )
    })?;
    let categorize = response_options(&call).categorize_labels;
    let asking = call.asking();
    Ok(socket.on_upgrade(move |socket| follow(asking, socket, Follower { tail, limit, categorize, _place: place })))
}

fn limits_of_history() -> usize {
    logs::query::Settings::default().max_entries
}

struct Follower {
    tail: Tail,
    limit: usize,
    categorize: bool,
    _place: OwnedSemaphorePermit,
}

async fn follow(asking: Asking, socket: WebSocket, follower: Follower) {
    let (mut sink, mut incoming) = socket.split();
    let (messages, mut waiting) = mpsc::channel::<Message>(limits::TAIL_MESSAGES);
    let writer = tokio::spawn(async move {
        let mut ping = tokio::time::interval(limits::TAIL_PING);
        loop {
            let message = tokio::select! {
                m = waiting.recv() => match m {
                    Some(m) => m,
                    None => break,
                },
                _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    let looking = async {
        if let Err(e) = look(&asking, follower, &messages).await {
            tracing::debug!(error = %e, "a followed query ended");
            // The client may be gone by now.
            let _ = messages.send(Message::Text(Utf8Bytes::from(e.message().to_owned()))).await;
        }
    };
    tokio::select! {
        () = looking => {}
        // Whatever a client says is a sign of life, until it says goodbye.
        () = async { while let Some(Ok(m)) = incoming.next().await { if matches!(m, Message::Close(_)) { break } } } => {}
    }
    drop(messages);
    // It ends by itself: a client that takes nothing is given up by the listener.
    let _ = tokio::time::timeout(limits::WRITE_STALL, writer).await;
}

async fn look(asking: &Asking, mut follower: Follower, messages: &mpsc::Sender<Message>) -> Result<()> {
    let mut dropped: VecDeque<Dropped> = VecDeque::new();
    let (limit, categorize) = (follower.limit, follower.categorize);
    let mut begun = false;
    while !asking.app.is_stopping() {
        let looked = computed(asking, move |c, _| {
            let found = if begun { follower.tail.poll(c)? } else { (follower.tail.history(c, limit)?, false) };
            Ok((follower, found))
        });
        let (back, (streams, is_more)) = looked.await?;
        follower = back;
        begun = true;
        if !streams.is_empty() || !dropped.is_empty() && messages.capacity() > 0 {
            let told: Vec<Dropped> = dropped.iter().cloned().collect();
            let body = response::tail(&streams, &told, categorize);
            let text = String::from_utf8(body).map_err(|_| Error::internal("a message is not text"))?;
            match messages.try_send(Message::Text(text.into())) {
                Ok(()) => dropped.clear(),
                Err(mpsc::error::TrySendError::Closed(_)) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => note(&mut dropped, &streams),
            }
        }
        if !is_more {
            tokio::time::sleep(pause(&asking.app)).await;
        }
    }
    Ok(())
}

/// Notes the lines of a message that was not sent; of very many, the newest.
fn note(dropped: &mut VecDeque<Dropped>, streams: &[Stream]) {
    for (s, e) in streams.iter().flat_map(|s| s.entries.iter().map(move |e| (s, e))) {
        if dropped.len() >= limits::TAIL_DROPPED {
            dropped.pop_front();
        }
        dropped.push_back(Dropped { labels: s.labels.clone(), time_ns: e.time_ns });
    }
}

/// Who follows while all places for queries are taken looks less often.
fn pause(app: &App) -> Duration {
    let busy = app.queries.running() >= app.settings.query_concurrency;
    if busy { limits::TAIL_LOOK * 5 } else { limits::TAIL_LOOK }
}
