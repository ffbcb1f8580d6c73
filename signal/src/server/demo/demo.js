// The page of `smoq signal --demo`: a client of the hub, and calls with data channels.
import { Call } from './call.js';
import { Hub } from './hub.js';

const ROOM = 'lobby';
const STATS_PAUSE = 1000;

const element = id => document.getElementById(id);
const calls = new Map();
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

function log(text) {
    const list = element('log');
    list.append(make('li', text));
    list.scrollTop = list.scrollHeight;
}

element('register').addEventListener('submit', event => {
    event.preventDefault();
    hub?.close();
    hub = new Hub(element('name').value, ROOM, {
        state: text => { element('state').textContent = text; },
        people: show_people,
        description: (from, description) => call_with(from).description(description),
        candidate: (from, candidate) => calls.get(from)?.candidate(candidate),
        data: (from, label, text) => log(`${from} (${label}, through the hub): ${text}`),
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

function call_with(peer) {
    if (!calls.has(peer)) {
        calls.set(peer, new Call(hub, peer, {
            message: (label, text) => log(`${peer} (${label}): ${text}`),
            changed: show_calls,
            ended: why => {
                calls.delete(peer);
                log(`The call with ${peer} is over: ${why}.`);
                show_calls();
            },
        }));
        show_calls();
    }
    return calls.get(peer);
}

function show_people(people) {
    const one = peer => {
        const call = button('Call', () => call_with(peer).offer());
        call.setAttribute('aria-label', `Call ${peer}`);
        return make('li', `${peer} `, call);
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
        const name = make('th', peer);
        name.scope = 'row';
        return make('tr', '', name, ...cells, make('td', '', end));
    };
    element('rows').replaceChildren(...[...calls].map(row));
    const mute = calls.size === 0;
    for (const node of element('say').querySelectorAll('input, button')) node.disabled = mute;
}

async function count() {
    // A row that is replaced loses the focus of a keyboard, so only numbers change.
    await Promise.all([...calls.values()].map(call => call.count()));
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
