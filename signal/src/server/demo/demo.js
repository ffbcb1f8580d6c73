// The page of `smoq signal --demo`: a client of the hub, and calls: chat, and what peers show and play.
import { Call, MOST_EARLY } from './call.js';
import { Hub } from './hub.js';

const ROOM = 'lobby';
const STATS_PAUSE = 1000;
const MOST_LINES = 500;
const MOST_CALLS = 32;

const element = id => document.getElementById(id);
const calls = new Map();
/** Candidates of peers whose offers have not come yet. */
const early = new Map();
const screens = new Map();
let hub;

function make(tag, text, ...children) {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    node.append(...children);
    return node;
}

function button(text, act) {
    const node = make('button', text);
    node.type = 'button';
    node.addEventListener('click', act);
    return node;
}

/** What others choose to be called, or call something, must not look like more than a name. */
function shown(name) {
    return /^[\p{L}\p{N}_.@-]+$/u.test(name) ? name : JSON.stringify(name);
}

function log(text) {
    const list = element('log');
    list.append(make('li', text));
    if (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
}

element('register').addEventListener('submit', event => {
    event.preventDefault();
    hub?.close();
    hub = new Hub(element('name').value, ROOM, {
        state: text => { element('state').textContent = text; },
        people: people => {
            for (const peer of people) calls.get(peer)?.present();
            show_people(people);
        },
        description: (from, description) => {
            // An answer that nobody asked for begins no call.
            const call = description?.type === 'offer' ? call_with(from) : calls.get(from);
            call?.description(description);
        },
        candidate: (from, candidate) => {
            const call = calls.get(from);
            if (call) call.candidate(candidate);
            else keep(from, candidate);
        },
        data: (from, label, text) => {
            calls.get(from)?.present();
            log(`${shown(from)} (${shown(label)}, through the hub): ${text}`);
        },
        gone: peer => calls.get(peer)?.gone(),
        refused: message => log(`The hub refuses: ${message}`),
    });
});

element('say').addEventListener('submit', event => {
    event.preventDefault();
    const text = element('text').value;
    for (const call of calls.values()) call.say(text);
    log(`you: ${text}`);
    element('text').value = '';
});

/** A candidate may overtake the offer that it belongs to. Of those who never call, the oldest are forgotten. */
function keep(peer, candidate) {
    if (!early.has(peer)) {
        if (early.size >= MOST_CALLS) early.delete(early.keys().next().value);
        early.set(peer, []);
    }
    const kept = early.get(peer);
    if (kept.length < MOST_EARLY) kept.push(candidate);
}

function call_with(peer) {
    if (!calls.has(peer) && calls.size < MOST_CALLS) {
        calls.set(peer, new Call(hub, peer, {
            message: (label, text) => log(`${shown(peer)} (${shown(label)}): ${text}`),
            changed: show_calls,
            ended: why => {
                calls.delete(peer);
                log(`The call with ${shown(peer)} is over: ${why}.`);
                show_calls();
            },
        }));
        for (const candidate of early.get(peer) ?? []) calls.get(peer).candidate(candidate);
        early.delete(peer);
        show_calls();
    }
    return calls.get(peer);
}

function show_people(people) {
    const one = peer => {
        const call = button('Call', () => call_with(peer)?.offer());
        call.setAttribute('aria-label', `Call ${peer}`);
        return make('li', `${shown(peer)} `, call);
    };
    element('peers').replaceChildren(...people.map(one));
    element('alone').hidden = people.length > 0;
}

function show_calls() {
    const row = ([peer, call]) => {
        const end = button('Hang up', () => call.hang_up());
        end.setAttribute('aria-label', `Hang up on ${peer}`);
        const { sent, received, trip, way } = call.stats;
        const cells = [call.state, sent, received, trip, way].map(text => make('td', String(text)));
        const name = make('th', shown(peer));
        name.scope = 'row';
        return make('tr', '', name, ...cells, make('td', '', end));
    };
    element('rows').replaceChildren(...[...calls].map(row));
    const alone = calls.size === 0;
    for (const node of element('say').querySelectorAll('input, button')) node.disabled = alone;
    show_screens();
}

/** A screen for each call that has something to show or to play. It stays, since it would begin anew. */
function show_screens() {
    for (const [peer, call] of calls) {
        if (call.stream.getTracks().length === 0) continue;
        if (!screens.has(peer)) screens.set(peer, screen(peer));
        const { node, video } = screens.get(peer);
        if (video.srcObject !== call.stream) video.srcObject = call.stream;
        if (!node.isConnected) element('screens').append(node);
    }
    for (const [peer, { node }] of screens) {
        if (calls.has(peer)) continue;
        node.remove();
        screens.delete(peer);
    }
    element('dark').hidden = screens.size > 0;
}

function screen(peer) {
    const video = make('video');
    video.autoplay = true;
    video.playsInline = true;
    video.setAttribute('aria-label', `What ${peer} shows`);
    const mute = button('Mute', () => {
        video.muted = !video.muted;
        mute.setAttribute('aria-pressed', video.muted);
    });
    mute.setAttribute('aria-label', `Mute ${peer}`);
    mute.setAttribute('aria-pressed', false);
    const told = make('span');
    return { node: make('figure', '', video, make('figcaption', `${shown(peer)}: `, told, ' ', mute)), video, told };
}

async function count() {
    // A row that is replaced loses the focus of a keyboard, so only numbers change.
    await Promise.all([...calls.values()].map(call => call.count()));
    for (const [peer, { told }] of screens) {
        const { pictures, level } = calls.get(peer)?.stats ?? {};
        told.textContent = `${pictures} pictures, sound level ${Math.round(level * 100)} %`;
    }
    [...calls.values()].forEach((call, index) => {
        const cells = element('rows').rows[index]?.cells;
        const { sent, received, trip, way } = call.stats;
        if (cells) [sent, received, trip, way].forEach((text, i) => { cells[i + 2].textContent = text; });
    });
    setTimeout(count, STATS_PAUSE);
}

addEventListener('pagehide', () => {
    for (const call of calls.values()) call.hang_up();
});
count();
