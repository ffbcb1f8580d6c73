//! Where lines come from, and where they go: a terminal with line editing and history, or a pipe.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};

use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::{mpsc, oneshot};

use crate::terminal::printable;

/// What a person typed, or a script says.
pub(super) enum Typed {
    /// A line. On a terminal the next one is asked for when this has an answer: the prompt.
    Line(String, oneshot::Sender<String>),
    /// The end of the input: `true` if a person wants to leave.
    End(bool),
}

/// Lines for a person, or a script.
pub(super) enum Screen {
    Plain,
    /// Above the line that is typed.
    Above(Box<dyn ExternalPrinter + Send>),
}

impl Screen {
    /// A line. What peers choose cannot command the terminal.
    pub(super) fn say(&mut self, text: &str) {
        let text = format!("{}\n", printable(text));
        // Nobody may be listening; that is no reason to stop.
        match self {
            Self::Plain => {
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            }
            Self::Above(printer) => {
                let _ = printer.print(text);
            }
        }
    }
}

/// Begins to read. On a terminal the first line is asked for with this prompt.
pub(super) fn open(prompt: String) -> (Screen, mpsc::Receiver<Typed>) {
    let (sender, receiver) = mpsc::channel(1);
    if io::stdin().is_terminal()
        && io::stdout().is_terminal()
        && let Ok(mut editor) = DefaultEditor::new()
        && let Ok(printer) = editor.create_external_printer()
    {
        thread::spawn(move || edit(editor, prompt, &sender));
        return (Screen::Above(Box::new(printer)), receiver);
    }
    thread::spawn(move || read(&sender));
    (Screen::Plain, receiver)
}

fn edit(mut editor: DefaultEditor, mut prompt: String, sender: &mpsc::Sender<Typed>) {
    loop {
        let Ok(line) = editor.readline(&prompt) else {
            let _ = sender.blocking_send(Typed::End(true));
            return;
        };
        let _ = editor.add_history_entry(line.as_str());
        let (answer, next) = oneshot::channel();
        // While there is no answer the terminal is as it was before: the program may end here.
        if sender.blocking_send(Typed::Line(line, answer)).is_err() {
            return;
        }
        let Ok(next) = next.blocking_recv() else { return };
        prompt = next;
    }
}

fn read(sender: &mpsc::Sender<Typed>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let (answer, _) = oneshot::channel();
        if sender.blocking_send(Typed::Line(line, answer)).is_err() {
            return;
        }
    }
    let _ = sender.blocking_send(Typed::End(false));
}
