//! The embedded DynamoDB, with indexes that lag behind the table.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::anyhow;
use dynoxide::{Database, DynoxideError};
use http::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::faults::answers::{Answer, answer};

/// A table, and a copy of it that follows later.
pub(super) struct DynamoDb {
    table: Database,
    copy: Mutex<Copy>,
}

/// An older state of the table, and the writes since.
struct Copy {
    database: Database,
    writes: VecDeque<(Instant, String, Bytes)>,
}

impl DynamoDb {
    /// Creates an engine without tables.
    pub(super) fn new() -> anyhow::Result<Self> {
        let database = || Database::memory().map_err(|error| anyhow!("{error}"));
        let copy = Copy { database: database()?, writes: VecDeque::new() };
        Ok(Self { table: database()?, copy: Mutex::new(copy) })
    }

    /// Carries out a call.
    pub(super) fn call(&self, operation: &str, request: &Bytes) -> Answer {
        let outcome = call(&self.table, operation, request);
        if outcome.is_ok() && is_write(operation) {
            let write = (Instant::now(), operation.to_owned(), request.clone());
            self.copy.lock().unwrap().writes.push_back(write);
        }
        to_answer(outcome)
    }

    /// Answers a query from an index that is `lag` behind the table. The copy never goes back, as
    /// each replica of an index does not; the table itself answers other queries meanwhile.
    pub(super) fn query_index(&self, request: &Bytes, lag: Duration) -> Answer {
        let mut copy = self.copy.lock().unwrap();
        let now = Instant::now();
        while copy.writes.front().is_some_and(|(at, ..)| *at + lag <= now) {
            let (_, operation, request) = copy.writes.pop_front().unwrap();
            // The write succeeded on the same state before.
            call(&copy.database, &operation, &request).unwrap();
        }
        to_answer(call(&copy.database, "Query", request))
    }
}

fn is_write(operation: &str) -> bool {
    matches!(
        operation,
        "CreateTable" | "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"
    )
}

fn to_answer(outcome: Result<Vec<u8>, DynoxideError>) -> Answer {
    match outcome {
        Ok(body) => answer(StatusCode::OK, body),
        Err(error) => {
            let status = StatusCode::from_u16(error.status_code()).unwrap();
            answer(status, error.to_json())
        }
    }
}

fn call(database: &Database, operation: &str, request: &[u8]) -> Result<Vec<u8>, DynoxideError> {
    match operation {
        "CreateTable" => run(request, |it| database.create_table(it)),
        "DescribeTable" => run(request, |it| database.describe_table(it)),
        "PutItem" => run(request, |it| database.put_item(it)),
        "GetItem" => run(request, |it| database.get_item(it)),
        "UpdateItem" => run(request, |it| database.update_item(it)),
        "DeleteItem" => run(request, |it| database.delete_item(it)),
        "TransactWriteItems" => run(request, |it| database.transact_write_items(it)),
        "Query" => run(request, |it| database.query(it)),
        "Scan" => run(request, |it| database.scan(it)),
        other => panic!("{other} is not an operation of the fault schedules' DynamoDB"),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    request: &[u8],
    carry_out: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<Vec<u8>, DynoxideError> {
    let request = serde_json::from_slice(request)
        .map_err(|error| DynoxideError::SerializationException(error.to_string()))?;
    carry_out(request).map(|answer| serde_json::to_vec(&answer).expect("JSON"))
}
