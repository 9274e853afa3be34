//! A start that was read from a file: whoever recorded it may have asked to keep everything.

use super::Redactor;
use crate::trace::schema::{Diagnosis, Finding, Joined, Method, Session, Start};
use std::collections::BTreeMap;

impl Redactor {
    /// All of a start that a command line goes into.
    pub fn start(&self, start: &mut Start) {
        if let Some(argv) = start.argv.as_deref().and_then(|argv| self.argv(argv)) {
            start.argv = Some(argv.argv);
        }
        if let Some(env) = &mut start.env {
            self.env(env);
        }
        self.method(&mut start.method);
        start.execs.iter_mut().for_each(|exec| self.optional(&mut exec.script));
        let timeline = &mut start.timeline;
        self.optional(&mut timeline.ready.detail);
        timeline.waits.iter_mut().for_each(|wait| self.optional(&mut wait.detail));
        timeline.critical_path.iter_mut().for_each(|segment| self.optional(&mut segment.detail));
        timeline.milestones.iter_mut().for_each(|milestone| self.optional(&mut milestone.detail));
        for Finding { summary, evidence, advice, .. } in &mut start.findings {
            self.found([summary, advice], evidence);
        }
    }

    /// Variables of an environment, as if they were given on a command line. How many values were replaced.
    pub fn env(&self, env: &mut BTreeMap<String, String>) -> u64 {
        let mut replaced = 0;
        for (name, value) in env {
            let given = ["env".to_owned(), format!("{name}={value}")];
            if let Some(redacted) = self.argv(&given)
                && let Some((_, shown)) = redacted.argv.get(1).and_then(|given| given.split_once('='))
            {
                *value = shown.to_owned();
                replaced += redacted.values;
            }
        }
        replaced
    }

    /// How it was started: the evidence quotes arguments.
    pub fn method(&self, method: &mut Method) {
        method.evidence.iter_mut().for_each(|fact| self.within(fact));
    }

    /// What was found over all starts.
    pub fn diagnosis(&self, diagnosis: &mut Diagnosis) {
        for Joined { summary, evidence, advice, what, .. } in &mut diagnosis.findings {
            self.found([summary, advice], evidence);
            self.within(what);
        }
    }

    /// How it was recorded.
    pub fn session(&self, session: &mut Session) {
        if let Some(argv) = session.target.argv.as_deref().and_then(|argv| self.argv(argv)) {
            session.target.argv = Some(argv.argv);
        }
        session.runs.iter_mut().for_each(|run| self.within(&mut run.name));
    }

    fn found(&self, texts: [&mut String; 2], evidence: &mut BTreeMap<String, serde_json::Value>) {
        texts.into_iter().for_each(|text| self.within(text));
        evidence.values_mut().for_each(|value| self.value(value));
    }

    fn value(&self, value: &mut serde_json::Value) {
        // As deep as a trace is read: 128 levels at most.
        match value {
            serde_json::Value::String(text) => self.within(text),
            serde_json::Value::Array(list) => list.iter_mut().for_each(|value| self.value(value)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|value| self.value(value)),
            _ => {}
        }
    }

    fn optional(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.within(text);
        }
    }

    fn within(&self, text: &mut String) {
        if let Some(redacted) = self.text(text) {
            *text = redacted;
        }
    }
}
