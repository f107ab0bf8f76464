//! Lambda's runtime API, as far as functions need it to get events and answer them:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than any function may run, and than the longest CRL takes.
const LIMIT: Duration = Duration::from_secs(300);

/// The runtime API's server.
pub struct RuntimeApi {
    listener: Arc<TcpListener>,
}

/// A function that has connected.
pub struct Runtime {
    connection: BufReader<TcpStream>,
    listener: Arc<TcpListener>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn bind() -> anyhow::Result<Self> {
        Ok(Self { listener: Arc::new(TcpListener::bind("127.0.0.1:0").await?) })
    }

    /// Returns the value for the function's `AWS_LAMBDA_RUNTIME_API`.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Waits for a function to connect.
    ///
    /// # Errors
    /// If none connects in time.
    pub async fn accept(&self) -> anyhow::Result<Runtime> {
        let listener = self.listener.clone();
        let accepted = timeout(LIMIT, listener.accept()).await.context("no function connects")?;
        Ok(Runtime { connection: BufReader::new(accepted?.0), listener })
    }
}

impl Runtime {
    /// Sends an event and returns the function's response.
    ///
    /// # Errors
    /// If the function ends, reports an error, or does not answer in time.
    pub async fn invoke(&mut self, event: &str) -> anyhow::Result<String> {
        timeout(LIMIT, self.answer(event)).await.context("the function does not answer")?
    }

    async fn answer(&mut self, event: &str) -> anyhow::Result<String> {
        let (line, _) = self.request().await?;
        ensure!(line.contains("/invocation/next"), "{line}");
        let head = format!(
            "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: test\r\n\
             lambda-runtime-deadline-ms: 9999999999999\r\n\
             lambda-runtime-invoked-function-arn: test\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            event.len()
        );
        self.connection.write_all(&[head.as_bytes(), event.as_bytes()].concat()).await?;
        let (line, answer) = self.request().await?;
        ensure!(line.contains("/response"), "{line} {answer}");
        self.connection.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await?;
        Ok(answer)
    }

    /// Reads an HTTP request and returns its first line and its body.
    async fn request(&mut self) -> anyhow::Result<(String, String)> {
        let mut first = String::new();
        if self.connection.read_line(&mut first).await? == 0 {
            // A client replaces a connection that was idle for long.
            self.connection = BufReader::new(self.listener.accept().await?.0);
            self.connection.read_line(&mut first).await?;
        }
        let runtime = &mut self.connection;
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
}
