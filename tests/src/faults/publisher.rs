//! The invocations of `crl`: by the table's stream, which delivers an event again until it is
//! handled, and by the hourly schedule.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use crate::faults::function::End;
use crate::faults::world::World;

/// Deliveries of an event of the stream at the most (template.yaml has no limit but the stream's day).
const DELIVERIES: u32 = 20;

/// Invokes the function for each request, one after another.
pub(super) async fn follow_stream(world: &World, mut requests: UnboundedReceiver<String>) {
    while let Some(ca) = requests.recv().await {
        let mut cas = vec![ca];
        while let Ok(more) = requests.try_recv() {
            cas.push(more);
        }
        let record = |ca: &String| {
            let keys = json!({ "PK": { "S": "CRL#REQUEST" }, "SK": { "S": ca } });
            json!({ "eventName": "MODIFY", "dynamodb": { "Keys": keys } })
        };
        let event = json!({ "Records": cas.iter().map(record).collect::<Vec<_>>() });
        for _ in 0..DELIVERIES {
            if invoke(world, "stream", event.clone()).await {
                break;
            }
            sleep(Duration::from_secs(5)).await;
        }
    }
}

/// Invokes the function every hour.
pub(super) async fn follow_schedule(world: &World) {
    loop {
        sleep(Duration::from_secs(3_600)).await;
        scheduled(world).await;
    }
}

/// Invokes the function as the schedule does. Returns true if it succeeds.
pub(super) async fn scheduled(world: &World) -> bool {
    invoke(world, "schedule", json!({ "detail-type": "Scheduled Event" })).await
}

async fn invoke(world: &World, name: &str, event: Value) -> bool {
    let end = world.publish(format!("crl by {name}"), event).await.end;
    let outcome = match &end {
        End::Answered(Ok(())) => "done".to_owned(),
        End::Answered(Err(error)) => error.clone(),
        End::Killed => "killed".into(),
        End::OutOfTime => "out of time".into(),
        End::Panicked => "panicked".into(),
    };
    world.history.note(name, format!("crl: {outcome}"));
    end == End::Answered(Ok(()))
}
