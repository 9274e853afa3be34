//! OTLP in Protocol Buffers, from its JSON encoding: field by field as `opentelemetry/proto/trace/v1/trace.proto` and
//! its neighbours number them, as far as they are written here. And the only answer that a collector gives.

use crate::export::protobuf::Message;
use serde_json::Value;

/// A `ResourceSpans`, as field 1 of an `ExportTraceServiceRequest`. Requests after one another are one request: that
/// is how Protocol Buffers join messages.
pub(super) fn resource_spans(value: &Value) -> Vec<u8> {
    let mut resource = Message::default();
    for attribute in all(&value["resource"]["attributes"]) {
        resource = resource.message(1, &key_value(attribute));
    }
    let mut whole = Message::default().message(1, &resource);
    for scope_spans in all(&value["scopeSpans"]) {
        let (name, version) = (text(&scope_spans["scope"]["name"]), text(&scope_spans["scope"]["version"]));
        let mut scoped = Message::default().message(1, &Message::default().text(1, name).text(2, version));
        for one in all(&scope_spans["spans"]) {
            scoped = scoped.message(2, &span(one));
        }
        whole = whole.message(2, &scoped);
    }
    Message::default().message(1, &whole).as_bytes().to_vec()
}

fn span(value: &Value) -> Message {
    let mut out = Message::default().bytes(1, &hex(&value["traceId"])).bytes(2, &hex(&value["spanId"]));
    if value.get("parentSpanId").is_some() {
        out = out.bytes(4, &hex(&value["parentSpanId"]));
    }
    out = out
        .text(5, text(&value["name"]))
        .number(6, value["kind"].as_u64().unwrap_or(0))
        .fixed(7, integer(&value["startTimeUnixNano"]))
        .fixed(8, integer(&value["endTimeUnixNano"]));
    for attribute in all(&value["attributes"]) {
        out = out.message(9, &key_value(attribute));
    }
    for event in all(&value["events"]) {
        let mut told =
            Message::default().fixed(1, integer(&event["timeUnixNano"])).text(2, text(&event["name"]));
        for attribute in all(&event["attributes"]) {
            told = told.message(3, &key_value(attribute));
        }
        out = out.message(11, &told);
    }
    for link in all(&value["links"]) {
        let mut to = Message::default().bytes(1, &hex(&link["traceId"])).bytes(2, &hex(&link["spanId"]));
        for attribute in all(&link["attributes"]) {
            to = to.message(4, &key_value(attribute));
        }
        out = out.message(13, &to);
    }
    if let Some(status) = value.get("status") {
        // One that says nothing is there as well: unset.
        let told = status["code"].as_u64();
        let told = told.map(|code| Message::default().text(2, text(&status["message"])).number(3, code));
        out = out.message(15, &told.unwrap_or_default());
    }
    out
}

fn key_value(value: &Value) -> Message {
    Message::default().text(1, text(&value["key"])).message(2, &any(&value["value"]))
}

fn any(value: &Value) -> Message {
    let out = Message::default();
    if let Some(text) = value["stringValue"].as_str() {
        out.text(1, text)
    } else if let Some(truth) = value["boolValue"].as_bool() {
        out.number(2, truth.into())
    } else if let Some(number) = value["intValue"].as_str() {
        // Negative ones as two's complement.
        out.number(3, number.parse::<i64>().unwrap_or(0).cast_unsigned())
    } else {
        let values = all(&value["arrayValue"]["values"]);
        // No array within an array is written here, so that this ends.
        out.message(5, &values.iter().fold(Message::default(), |list, one| list.message(1, &any(one))))
    }
}

fn all(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn integer(value: &Value) -> u64 {
    text(value).parse().unwrap_or(0)
}

/// An identifier, in hex in JSON and in bytes here.
fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().chunks(2);
    digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

/// How many spans an `ExportTraceServiceResponse` says were refused, and why.
pub(super) fn refused(answer: &[u8]) -> Option<(u64, String)> {
    let partial = fields(answer).find_map(|(field, value)| match value {
        Field::Bytes(bytes) if field == 1 => Some(bytes),
        _ => None,
    })?;
    let (mut spans, mut why) = (0, String::new());
    for (field, value) in fields(partial) {
        match (field, value) {
            (1, Field::Number(n)) => spans = n,
            (2, Field::Bytes(bytes)) => why = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    (spans > 0).then_some((spans, why))
}

enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Other,
}

/// The fields of a message, up to what is no field.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let mut take = |n: u64| {
            let (taken, left) = rest.split_at_checked(usize::try_from(n).ok()?)?;
            rest = left;
            Some(taken)
        };
        let value = match tag & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => take(8).map(|_| Field::Other)?,
            5 => take(4).map(|_| Field::Other)?,
            2 => {
                let length = varint(&mut rest)?;
                let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                rest = left;
                Field::Bytes(taken)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_their_types() {
        assert_eq!(any(&json!({"stringValue": ""})).as_bytes(), b"\x0a\x00");
        assert_eq!(any(&json!({"boolValue": true})).as_bytes(), b"\x10\x01");
        let negative = any(&json!({"intValue": "-1"}));
        assert_eq!(negative.as_bytes(), b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        let list = any(&json!({"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}));
        assert_eq!(list.as_bytes(), b"\x2a\x0a\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b");
        assert_eq!(hex(&json!("00f067aa0ba902b7")), [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    }

    #[test]
    fn answers_are_read_whatever_they_are() {
        assert_eq!(refused(b""), None);
        assert_eq!(refused(b"\x0a\x00"), None);
        assert_eq!(refused(b"\x0a\x09\x08\x02\x12\x05later"), Some((2, "later".to_owned())));
        let mut message = b"\x1a\x01x\x0d\x00\x00\x00\x00\x0a\x09\x08\x02\x12\x05later".to_vec();
        assert_eq!(refused(&message), Some((2, "later".to_owned())));
        for i in 0..message.len() {
            message[i] ^= 0xff;
            let _ = refused(&message);
            let _ = refused(message.get(..i).unwrap());
        }
        assert_eq!(refused(&[0xff; 100]), None);
        assert_eq!(refused(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }

    /// What has this number in a message, in order.
    fn of(message: &[u8], number: u64) -> Vec<Vec<u8>> {
        let found = fields(message).filter(|(field, _)| *field == number);
        found
            .map(|(_, value)| match value {
                Field::Number(n) => n.to_le_bytes().to_vec(),
                Field::Bytes(bytes) => bytes.to_vec(),
                Field::Other => vec![0xff],
            })
            .collect()
    }

    fn one(message: &[u8], number: u64) -> Vec<u8> {
        let mut found = of(message, number);
        assert_eq!(found.len(), 1, "field {number} of {message:?}");
        found.remove(0)
    }

    fn attribute(key: &str, value: &str) -> Value {
        json!({"key": key, "value": {"stringValue": value}})
    }

    #[test]
    fn a_request_holds_what_its_json_does() {
        let link = json!({"traceId": "0f", "spanId": "a0", "attributes": [attribute("why", "socket")]});
        let event = json!({"timeUnixNano": "5", "name": "ready", "attributes": [attribute("how", "accept")]});
        let span = json!({"traceId": "0102", "spanId": "03", "parentSpanId": "04", "name": "sh", "kind": 1,
            "startTimeUnixNano": "6", "endTimeUnixNano": "7", "attributes": [attribute("a", "b"), attribute("c", "d")],
            "events": [event], "links": [link], "status": {"code": 2, "message": "exit 1"}});
        let root = json!({"traceId": "0102", "spanId": "04", "name": "init", "kind": 1, "status": {}});
        let whole = resource_spans(&json!({
            "resource": {"attributes": [attribute("host.name", "vm")]},
            "scopeSpans": [{"scope": {"name": "startrace", "version": "1"}, "spans": [span, root]}],
        }));
        let spans = one(&whole, 1);
        let resource = one(&spans, 1);
        assert_eq!(one(&one(&resource, 1), 1), b"host.name");
        assert_eq!(one(&one(&one(&resource, 1), 2), 1), b"vm");
        let scoped = one(&spans, 2);
        assert_eq!(
            (one(&one(&scoped, 1), 1), one(&one(&scoped, 1), 2)),
            (b"startrace".to_vec(), b"1".to_vec())
        );
        let spans = of(&scoped, 2);
        assert_eq!(spans.len(), 2);
        let span = &spans[0];
        assert_eq!((one(span, 1), one(span, 2), one(span, 4)), (vec![1, 2], vec![3], vec![4]));
        assert_eq!((one(span, 5), one(span, 6)), (b"sh".to_vec(), 1u64.to_le_bytes().to_vec()));
        let keys: Vec<_> = of(span, 9).iter().map(|attribute| one(attribute, 1)).collect();
        assert_eq!(keys, [b"a", b"c"]);
        let event = one(span, 11);
        assert_eq!((one(&event, 2), one(&one(&event, 3), 1)), (b"ready".to_vec(), b"how".to_vec()));
        let link = one(span, 13);
        assert_eq!(
            (one(&link, 1), one(&link, 2), one(&one(&link, 4), 1)),
            (vec![15], vec![160], b"why".to_vec())
        );
        let status = one(span, 15);
        assert_eq!((one(&status, 2), one(&status, 3)), (b"exit 1".to_vec(), 2u64.to_le_bytes().to_vec()));
        // Times are eight bytes behind the tags of fields 7 and 8.
        for (tag, time) in [(0x39, 6u64), (0x41, 7)] {
            let bytes = [&[tag][..], &time.to_le_bytes()].concat();
            assert!(span.windows(9).any(|part| part == bytes), "{time}");
        }
        // Who has no parent says none, and a status that says nothing is there.
        assert_eq!((of(&spans[1], 4).len(), one(&spans[1], 15).len()), (0, 0));
    }
}
