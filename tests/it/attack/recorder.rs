//! An upstream that reads HTTP/1.1 as RFC 9112 writes it and nothing else. Whatever another reader
//! could take differently is noted as ambiguous.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request whose head was read. Header names as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Once it is whole.
    pub(crate) body: Option<Vec<u8>>,
}

impl Heard {
    /// The values of every header and trailer whose name folds to this one.
    pub(crate) fn folded(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .chain(&self.trailers)
            .filter(|(field, _value)| fold(field) == name)
            .map(|(_field, value)| value.as_str())
            .collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// As WSGI and CGI apps read a name.
pub(crate) fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[derive(Debug, Default)]
struct Notes {
    heard: Vec<Heard>,
    ambiguous: Vec<String>,
}

/// The upstream. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    _server: JoinSet<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let kept = Arc::clone(&notes);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let notes = Arc::clone(&kept);
                connections.spawn(async move {
                    if let Err(what) = serve(stream, &notes).await {
                        notes.lock().unwrap().ambiguous.push(what);
                    }
                });
            }
        });
        Self {
            address,
            notes,
            _server: server,
        }
    }

    /// Every request so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.notes.lock().unwrap().heard.clone()
    }

    pub(crate) fn last(&self) -> Heard {
        self.heard().pop().expect("the upstream was asked")
    }

    /// What could be read in two ways.
    pub(crate) fn ambiguous(&self) -> Vec<String> {
        self.notes.lock().unwrap().ambiguous.clone()
    }
}

async fn serve(stream: TcpStream, notes: &Mutex<Notes>) -> Result<(), String> {
    let mut stream = BufReader::new(stream);
    while let Some(head) = head(&mut stream).await? {
        let framing = framing(&head)?;
        let index = {
            let mut notes = notes.lock().unwrap();
            notes.heard.push(head.clone());
            notes.heard.len() - 1
        };
        let Some((body, trailers)) = read_body(&mut stream, framing).await? else {
            return Ok(());
        };
        complete(&mut notes.lock().unwrap().heard[index], body, trailers);
        let answer = if head.method == "HEAD" {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        };
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn complete(heard: &mut Heard, body: Vec<u8>, trailers: Vec<(String, String)>) {
    heard.body = Some(body);
    heard.trailers = trailers;
}

/// A line without its line break; `None` at the end of the connection.
async fn line(stream: &mut BufReader<TcpStream>) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    if stream.read_until(b'\n', &mut bytes).await.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some(line) = text.strip_suffix("\r\n") else {
        return Err(format!("no CRLF: {text:?}"));
    };
    if line.bytes().any(|byte| byte < b' ' && byte != b'\t') {
        return Err(format!("control bytes: {line:?}"));
    }
    Ok(Some(line.to_owned()))
}

async fn fields(stream: &mut BufReader<TcpStream>) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream).await?.ok_or("a head cut off")?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or(format!("no colon: {line:?}"))?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("not a field name: {line:?}"));
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

async fn head(stream: &mut BufReader<TcpStream>) -> Result<Option<Heard>, String> {
    let Some(request) = line(stream).await? else {
        return Ok(None);
    };
    let parts: Vec<&str> = request.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("not a request line: {request:?}"));
    };
    if !target.starts_with('/') {
        return Err(format!("not an origin form: {request:?}"));
    }
    Ok(Some(Heard {
        method: method.to_owned(),
        target: target.to_owned(),
        fields: fields(stream).await?,
        ..Heard::default()
    }))
}

enum Framing {
    Length(usize),
    Chunked,
}

fn framing(head: &Heard) -> Result<Framing, String> {
    let said = |name| head.folded(name);
    if said("host").len() != 1 {
        return Err(format!("not one Host: {head:?}"));
    }
    if !said("expect").is_empty() {
        return Err(format!("a question for this hop: {head:?}"));
    }
    let offered = said("upgrade").join(",").to_ascii_lowercase();
    if !offered.is_empty() && (said("connection") != ["upgrade"] || offered.contains("h2c")) {
        return Err(format!("an offer that is not judged: {head:?}"));
    }
    match (&said("content-length")[..], &said("transfer-encoding")[..]) {
        ([], []) => Ok(Framing::Length(0)),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Framing::Length(
            length.parse().map_err(|_empty| "no length")?,
        )),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        _other => Err(format!("two framings: {head:?}")),
    }
}

type Body = (Vec<u8>, Vec<(String, String)>);

/// `None` if the connection ends before the body does.
async fn read_body(
    stream: &mut BufReader<TcpStream>,
    framing: Framing,
) -> Result<Option<Body>, String> {
    let mut body = Vec::new();
    if let Framing::Length(length) = framing {
        body.resize(length, 0);
        let whole = stream.read_exact(&mut body).await.is_ok();
        return Ok(whole.then_some((body, Vec::new())));
    }
    loop {
        let Some(size) = line(stream).await? else {
            return Ok(None);
        };
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("not a chunk size: {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_huge| format!("{size:?}"))?;
        if size == 0 {
            return Ok(Some((body, fields(stream).await?)));
        }
        let mut chunk = vec![0; size + 2];
        if stream.read_exact(&mut chunk).await.is_err() {
            return Ok(None);
        }
        let data = chunk.strip_suffix(b"\r\n").ok_or("a chunk too long")?;
        body.extend_from_slice(data);
    }
}
