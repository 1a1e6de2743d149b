//! How to make a call, with curl and in TypeScript and Python.

use std::fmt::Write as _;

use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::config::{Config, PublicUrl};
use crate::http::openapi::{Call, Parameter, Place};
use crate::http::routes::Access;
use crate::pages::segment;

const FORM: &str = "application/x-www-form-urlencoded";

/// An example in a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) language: &'static str,
    pub(super) code: String,
}

/// What an example sends.
struct Request<'c> {
    call: &'c Call,
    /// The origin of the service.
    origin: String,
    url: String,
    /// Names and values; of secrets there are none.
    headers: Vec<(&'static str, String)>,
    body: Option<&'c Value>,
}

/// Returns the examples of a call.
pub(super) fn samples(call: &Call, config: &Config) -> Vec<Sample> {
    let request = Request::of(call, config);
    let (typescript, python) = match call.doc.id {
        "track" | "trackBatch" => (request.typescript_client(), request.python_client()),
        _ => (request.fetch(), request.urllib()),
    };
    [("curl", request.curl()), ("TypeScript", typescript), ("Python", python)]
        .into_iter()
        .map(|(language, code)| Sample { language, code })
        .collect()
}

impl<'c> Request<'c> {
    fn of(call: &'c Call, config: &Config) -> Self {
        let local = || format!("http://localhost:{}", config.service_port);
        let origin = config.public_url.as_ref().map_or_else(local, PublicUrl::origin);
        let example = |parameter: &Parameter| match &parameter.shape["examples"][0] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            value => Some(value.to_string()),
        };
        let (mut path, mut query, mut headers) =
            (call.row.path.to_owned(), Serializer::new(String::new()), Vec::new());
        for parameter in &call.doc.parameters {
            let value = if parameter.name == "Origin" { Some(origin.clone()) } else { example(parameter) };
            let Some(value) = value else { continue };
            match parameter.place {
                Place::Path => path = path.replace(&format!("{{{}}}", parameter.name), &segment(&value)),
                Place::Query => drop(query.append_pair(parameter.name, &value)),
                Place::Header => headers.push((parameter.name, value)),
            }
        }
        let query = query.finish();
        let url =
            if query.is_empty() { format!("{origin}{path}") } else { format!("{origin}{path}?{query}") };
        let body = call.doc.bodies.iter().find_map(|body| body.example.as_ref());
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        Self { call, origin, url, headers, body }
    }

    fn needs_key(&self) -> bool {
        matches!(self.call.row.access, Access::Scope(_) | Access::Personal(_))
    }

    /// Returns whether it sends the form with the key.
    fn is_form(&self) -> bool {
        self.call.doc.bodies.iter().any(|body| body.media_type == FORM)
    }

    /// Returns whether the response is a text, not JSON.
    fn returns_text(&self) -> bool {
        let success = self.call.answers.iter().find(|(status, _)| **status < 400);
        success.is_none_or(|(_, answer)| {
            answer.bodies().iter().all(|body| body.media_type != "application/json")
        })
    }

    fn curl(&self) -> String {
        let method = self.call.row.method.as_str();
        let method = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let mut code = format!("curl{method} {}", quoted(&self.url));
        let mut line = |argument: &str| code.extend([" \\\n  ", argument]);
        if self.needs_key() {
            line("-H \"X-API-Key: $KEY\"");
        }
        if self.call.row.access == Access::Page {
            line("--cookie \"mlops_session=$SESSION\"");
        }
        for (name, value) in &self.headers {
            line(&format!("-H {}", quoted(&format!("{name}: {value}"))));
        }
        if self.is_form() {
            line("--data-urlencode \"key=$KEY\"");
        }
        if let Some(body) = self.body {
            line(&format!("-d {}", quoted(&format!("{body:#}"))));
        }
        code
    }

    fn fetch(&self) -> String {
        let mut options = Vec::new();
        if self.call.row.method.as_str() != "GET" {
            options.push(format!("method: \"{}\"", self.call.row.method));
        }
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{}: {}", literal(name), literal(value)))
            .collect();
        if self.needs_key() {
            headers.insert(0, "\"X-API-Key\": process.env.MLOPS_API_KEY!".to_owned());
        }
        if self.call.row.access == Access::Page {
            headers.push("Cookie: `mlops_session=${process.env.SESSION}`".to_owned());
        }
        if !headers.is_empty() {
            options.push(format!("headers: {{ {} }}", headers.join(", ")));
        }
        if self.is_form() {
            options.push("body: new URLSearchParams({ key: process.env.MLOPS_API_KEY! })".to_owned());
            options.push("redirect: \"manual\"".to_owned());
        }
        if let Some(body) = self.body {
            options.push(format!("body: JSON.stringify({})", indented(&format!("{body:#}"), "  ")));
        }
        let options = lines(options.iter().map(|option| format!("  {option},\n")));
        let options = if options.is_empty() { String::new() } else { format!(", {{\n{options}}}") };
        let read = if self.returns_text() { "text" } else { "json" };
        format!(
            "const response = await fetch({}{options});\nconsole.log(response.status, await response.{read}());",
            literal(&self.url)
        )
    }

    fn urllib(&self) -> String {
        let mut arguments = vec![literal(&self.url)];
        if self.call.row.method.as_str() != "GET" {
            arguments.push(format!("method=\"{}\"", self.call.row.method));
        }
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{}: {}", literal(name), literal(value)))
            .collect();
        let is_page = self.call.row.access == Access::Page;
        if self.needs_key() {
            headers.insert(0, "\"X-API-Key\": os.environ[\"MLOPS_API_KEY\"]".to_owned());
        }
        if is_page {
            headers.push("\"Cookie\": \"mlops_session=\" + os.environ[\"SESSION\"]".to_owned());
        }
        if !headers.is_empty() {
            arguments.push(format!("headers={{{}}}", headers.join(", ")));
        }
        if self.is_form() {
            arguments.push(
                "data=urllib.parse.urlencode({\"key\": os.environ[\"MLOPS_API_KEY\"]}).encode()".to_owned(),
            );
        }
        if let Some(body) = self.body {
            arguments.push(format!("data=json.dumps({}).encode()", indented(&python(body, 0), "    ")));
        }
        let mut code = String::new();
        let reads_json = !self.returns_text();
        let modules = [
            (reads_json || self.body.is_some(), "json"),
            (self.needs_key() || is_page || self.is_form(), "os"),
            (self.is_form(), "urllib.parse"),
            (true, "urllib.request"),
        ];
        for (_, module) in modules.into_iter().filter(|(is_used, _)| *is_used) {
            code.extend(["import ", module, "\n"]);
        }
        let arguments = lines(arguments.iter().map(|argument| format!("    {argument},\n")));
        let read = if reads_json { "json.load(response)" } else { "response.read().decode()" };
        let _infallible = write!(
            code,
            "\nrequest = urllib.request.Request(\n{arguments})\nwith urllib.request.urlopen(request) as response:\n    print(response.status, {read})"
        );
        code
    }

    /// Returns the events that the example reports.
    fn events(&self) -> Vec<&Value> {
        let Some(body) = self.body else { return Vec::new() };
        body["events"].as_array().map_or_else(|| vec![body], |events| events.iter().collect())
    }

    fn typescript_client(&self) -> String {
        let calls = lines(self.events().iter().map(|event| format!("client.track({event:#});\n")));
        format!(
            "import {{ createClient }} from \"@mlops-service/client\";\n\n\
             // The key comes from MLOPS_API_KEY. Events are sent in batches, and again until they are stored.\n\
             const client = createClient({{ url: {} }});\n{calls}await client.close();",
            literal(&self.origin)
        )
    }

    fn python_client(&self) -> String {
        let calls =
            lines(self.events().iter().map(|event| format!("    client.track({})\n", python(event, 4))));
        format!(
            "from mlops_service_client import Client\n\n\
             # The key comes from MLOPS_API_KEY. Events are sent in batches, and again until they are stored.\n\
             with Client(url={}) as client:\n{}",
            literal(&self.origin),
            calls.trim_end()
        )
    }
}

/// Joins lines that have their line breaks.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().concat()
}

/// Returns a text in single quotes, for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns a text in double quotes, for TypeScript and Python.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns a text whose lines after the first are indented.
fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

/// Returns a JSON value as Python writes it, its lines after the first indented by this many spaces.
fn python(value: &Value, indent: usize) -> String {
    let (inner, outer) = (" ".repeat(indent + 4), " ".repeat(indent));
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) if !items.is_empty() => {
            let items = lines(items.iter().map(|item| format!("{inner}{},\n", python(item, indent + 4))));
            format!("[\n{items}{outer}]")
        }
        Value::Object(fields) if !fields.is_empty() => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{inner}{}: {},\n", literal(name), python(value, indent + 4)));
            format!("{{\n{}{outer}}}", lines(fields))
        }
        other => other.to_string(),
    }
}
