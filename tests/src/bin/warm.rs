//! What a warm function spends on a request: CPU time of its process, user and system, divided by the
//! requests it answered. `make bench` builds what it measures and runs it.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;

use anyhow::{Context as _, ensure};
use birthcert_tests::counterparties::{Counterparties, Pair};
use birthcert_tests::env::Env;
use birthcert_tests::function;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

const WARM_UP: usize = 50;
const REQUESTS: usize = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let counterparties = Counterparties::default();
    let env = Env::start(&counterparties, Pair::Local).await?;
    let event = |name: &str| {
        let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/{}.json"), name);
        std::fs::read_to_string(path)
    };
    let enroll = event("enroll")?.replace("ENROLLMENT_TOKEN", &env.token.expose());
    let identity = event("identity")?;
    let mut enrollments = Vec::new();
    let mut identities = Vec::new();
    for _ in 0..WARM_UP + REQUESTS {
        let device = env.api.enrolled(&env.token).await?;
        identities.push(identity.replace("DEVICE_TOKEN", &device.device_token));
        enrollments.push(enroll.clone());
    }

    println!(
        "CPU of a warm function, {REQUESTS} requests one after another, plain HTTP to loopback"
    );
    for (name, events) in [("enroll", enrollments), ("identity", identities)] {
        let milliseconds = cpu_per_request(&function::release(name), &env, &events).await?;
        println!("{name:<10} {milliseconds:.2} ms a request");
    }
    Ok(())
}

async fn cpu_per_request(program: &Path, env: &Env, events: &[String]) -> anyhow::Result<f64> {
    let api = TcpListener::bind("127.0.0.1:0").await?;
    let child = function::start(program, env, api.local_addr()?)?;
    let mut runtime = BufReader::new(api.accept().await?.0);
    invoke(&mut runtime, &events[..WARM_UP]).await?;
    let before = cpu_milliseconds(&child)?;
    invoke(&mut runtime, &events[WARM_UP..]).await?;
    Ok((cpu_milliseconds(&child)? - before) / REQUESTS as f64)
}

/// Plays the runtime API: hands out each event and takes its answer.
async fn invoke(runtime: &mut BufReader<TcpStream>, events: &[String]) -> anyhow::Result<()> {
    for event in events {
        let (line, _) = request(runtime).await?;
        ensure!(line.contains("/invocation/next"), "{line}");
        let head = format!(
            "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: bench\r\n\
             lambda-runtime-deadline-ms: 9999999999999\r\n\
             lambda-runtime-invoked-function-arn: bench\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            event.len()
        );
        runtime.write_all(&[head.as_bytes(), event.as_bytes()].concat()).await?;
        let (line, answer) = request(runtime).await?;
        ensure!(line.contains("/response"), "{line}");
        ensure!(answer.contains("\"statusCode\":200"), "{answer}");
        runtime.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await?;
    }
    Ok(())
}

/// One HTTP request: its first line and its body, whose end is told by length or by chunks.
async fn request(runtime: &mut BufReader<TcpStream>) -> anyhow::Result<(String, String)> {
    let mut first = String::new();
    runtime.read_line(&mut first).await?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        runtime.read_line(&mut line).await?;
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(':') {
            None => break,
            Some(("content-length", value)) => length = value.trim().parse()?,
            Some(("transfer-encoding", _)) => chunked = true,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    runtime.read_exact(&mut body).await?;
    while chunked {
        let mut size = String::new();
        runtime.read_line(&mut size).await?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16)? + 2];
        runtime.read_exact(&mut chunk).await?;
        chunked = chunk.len() > 2;
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
    }
    Ok((first, String::from_utf8(body)?))
}

/// User and system time so far: fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms.
fn cpu_milliseconds(child: &Child) -> anyhow::Result<f64> {
    let id = child.id().context("it ended")?;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields = stat.rsplit_once(')').context("stat")?.1;
    let fields = fields.split_whitespace().skip(11).take(2);
    Ok(fields.map(|field| field.parse::<f64>()).sum::<Result<f64, _>>()? * 10.0)
}
