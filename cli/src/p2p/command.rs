//! What a person types.

pub(super) const HELP: &str = "\
offer PEER           call a peer
hangup PEER          end a call
channel LABEL        open a channel to each peer that there is a call with
send LABEL MESSAGE   say something on the channel, to each peer that has it
sendfile LABEL PATH  send a file to each peer that has the channel
list                 calls and their channels
peers                who is at the hub
stats                numbers of each call
help                 this list
quit                 send what waits, and end";

#[derive(PartialEq, Eq, Debug)]
pub(super) enum Command {
    Offer { peer: String },
    HangUp { peer: String },
    Channel { label: String },
    Send { label: String, text: String },
    SendFile { label: String, path: String },
    List,
    Peers,
    Stats,
    Help,
    Quit,
}

/// What a line means; nothing for an empty one. The error is for the person.
pub(super) fn parse(line: &str) -> Result<Option<Command>, String> {
    let (verb, rest) = split(line.trim());
    let (first, second) = split(rest);
    let one = |usage: &str| match (first, second) {
        ("", _) => Err(format!("something is missing; it is `{usage}`")),
        (first, "") => Ok(first.to_owned()),
        _ => Err(format!("this is too much; it is `{usage}`")),
    };
    let two = |usage: &str| match (first, second) {
        ("", _) | (_, "") => Err(format!("something is missing; it is `{usage}`")),
        (first, second) => Ok((first.to_owned(), second.to_owned())),
    };
    let alone = |command: Command| match rest {
        "" => Ok(command),
        _ => Err(format!("nothing follows `{verb}`")),
    };
    let command = match verb {
        "" => return Ok(None),
        "offer" => Command::Offer { peer: one("offer PEER")? },
        "hangup" => Command::HangUp { peer: one("hangup PEER")? },
        "channel" => Command::Channel { label: one("channel LABEL")? },
        "send" => {
            let (label, text) = two("send LABEL MESSAGE")?;
            Command::Send { label, text }
        }
        "sendfile" => {
            let (label, path) = two("sendfile LABEL PATH")?;
            Command::SendFile { label, path }
        }
        "list" => alone(Command::List)?,
        "peers" => alone(Command::Peers)?,
        "stats" => alone(Command::Stats)?,
        "help" => alone(Command::Help)?,
        "quit" => alone(Command::Quit)?,
        other => return Err(format!("there is no command `{other}`; `help` lists them")),
    };
    Ok(Some(command))
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let is = |line, command| assert_eq!(parse(line), Ok(command), "{line}");
        is("  ", None);
        is(" offer  bob ", Some(Command::Offer { peer: "bob".into() }));
        let text = "hello   there".into();
        is("send chat hello   there", Some(Command::Send { label: "chat".into(), text }));
        let path = "my photo.jpg".into();
        is("sendfile chat my photo.jpg", Some(Command::SendFile { label: "chat".into(), path }));
        is("quit", Some(Command::Quit));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        for (line, told) in [
            ("offer", "`offer PEER`"),
            ("offer a b", "`offer PEER`"),
            ("send chat", "`send LABEL MESSAGE`"),
            ("list all", "nothing follows `list`"),
            ("call bob", "no command `call`"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
