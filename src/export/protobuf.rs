//! Protocol Buffers' wire format, as much of it as is written here: varints, 64-bit values, bytes.
//!
//! By hand because it is less than what a library would add to the binary, and because what is written
//! is read back by Google's own library in the tests.

/// A message under way.
#[derive(Debug, Default, Clone)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    /// A field of type uint32, uint64, bool or enum, or a non-negative int32 or int64.
    pub(super) fn number(mut self, field: u32, value: u64) -> Self {
        self.tag(field, 0);
        self.varint(value);
        self
    }

    /// A field of type fixed64.
    pub(super) fn fixed(mut self, field: u32, value: u64) -> Self {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn push(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A field of type string.
    pub(super) fn text(mut self, field: u32, text: &str) -> Self {
        self.push(field, text.as_bytes());
        self
    }

    /// A field of type bytes.
    pub(super) fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.push(field, bytes);
        self
    }

    /// A field that is a message.
    pub(super) fn message(mut self, field: u32, message: &Message) -> Self {
        self.push(field, &message.0);
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_written() {
        // https://protobuf.dev/programming-guides/encoding/: Test1 { a = 150 }, Test2 { b = "testing" },
        // Test3 { c = Test1 }.
        let first = Message::default().number(1, 150);
        assert_eq!(first.as_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").as_bytes(), b"\x12\x07testing");
        assert_eq!(Message::default().message(3, &first).as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let fixed = Message::default().fixed(47, 1);
        assert_eq!(fixed.as_bytes(), [0xf9, 0x02, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Message::default().number(1, u64::MAX).as_bytes().len(), 11);
    }
}
