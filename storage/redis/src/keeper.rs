//! The keeper of the connection: makes it, looks now and then whether it still is one, and makes the next.
//!
//! One task a [`Redis`](crate::Redis), ended with it. It is the only one who tries a server that was away.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::time::{sleep, timeout};

use crate::client::Shared;
use crate::endpoint::Link;

/// How often a server that nobody asks is asked whether it is there, so that health is true of idle nodes.
const HEARTBEAT: Duration = Duration::from_secs(1);

pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut is_first = true;
    loop {
        shared.half_open();
        let why = match timeout(shared.config.connect_timeout(), greeted(&shared)).await {
            Ok(Ok(link)) => {
                tracing::info!(again = !is_first, "Redis answers");
                is_first = false;
                shared.close(link);
                hold(&shared).await;
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        };
        if let Some(error) = why
            && is_first
        {
            // Once; a server that goes away later is told of where that is noticed.
            is_first = false;
            tracing::warn!(error, "Redis does not answer: what nodes share is kept by each for itself");
        }
        let pause = shared.reopen();
        sleep(pause).await;
    }
}

/// A connection on which the server has answered.
async fn greeted(shared: &Shared) -> RedisResult<Link> {
    let mut link = shared.endpoint.connect().await?;
    redis::cmd("PING").query_async::<()>(&mut link).await?;
    Ok(link)
}

/// Asks now and then, until the breaker has opened.
async fn hold(shared: &Shared) {
    loop {
        tokio::select! {
            () = shared.opened.notified() => return,
            () = sleep(HEARTBEAT) => {
                // What comes of it is judged like any other request.
                shared.ask::<()>("ping", &redis::cmd("PING")).await.ok();
            }
        }
    }
}
