// A client of the hub, in envelopes.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;

export class Hub {
    #name;
    #room;
    #tell;
    #socket;
    #pause = FIRST_PAUSE;
    #people = new Set();
    #over = false;
    // Whoever has it takes the id over, if the hub has not noticed that the connection was lost.
    #secret = Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');

    /**
     * @param name the id to be known by
     * @param room where to see others
     * @param tell what is called: state, people, description, candidate, data, gone, refused
     */
    constructor(name, room, tell) {
        this.#name = name;
        this.#room = room;
        this.#tell = tell;
        this.#connect();
    }

    get name() {
        return this.#name;
    }

    /** The servers that help to find a way, with fresh credentials. */
    async servers() {
        const response = await fetch(`ice${location.search}`).catch(() => undefined);
        return response?.ok ? (await response.json()).iceServers : [];
    }

    sdp(to, description) {
        this.#forward('sdp', to, { session_description: description });
    }

    candidate(to, candidate) {
        this.#forward('candidate', to, { candidate });
    }

    data(to, label, text) {
        const bytes = new TextEncoder().encode(text);
        const payload = btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        this.#forward('data_channel', to, { label, payload });
    }

    close() {
        this.#over = true;
        this.#socket.close();
    }

    #connect() {
        // The access token of the hub, if it has one, stands in the address of the page.
        const url = new URL(`ws${location.search}`, location);
        url.protocol = url.protocol.replace('http', 'ws');
        this.#socket = new WebSocket(url);
        this.#socket.onopen = () => {
            this.#send('register_request', { client_id: this.#name, token: this.#secret });
        };
        this.#socket.onmessage = ({ data }) => this.#read(JSON.parse(data));
        this.#socket.onclose = () => {
            this.#people.clear();
            this.#tell.people([]);
            if (this.#over) return;
            this.#tell.state('The hub is not there; it is tried again.');
            setTimeout(() => this.#over || this.#connect(), this.#pause);
            this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
        };
    }

    #send(type, data) {
        if (this.#socket.readyState === WebSocket.OPEN) {
            this.#socket.send(JSON.stringify({ id: crypto.randomUUID?.() ?? '', type, data }));
        }
    }

    #forward(type, to, data) {
        this.#send(type, { from_id: this.#name, to_id: to, ...data });
    }

    #read({ type, data }) {
        switch (type) {
            case 'register_response':
                if (data.success) {
                    this.#pause = FIRST_PAUSE;
                    this.#tell.state(`You are ${this.#name}.`);
                    this.#send('join_request', { room: this.#room });
                } else {
                    this.#over = true;
                    this.#socket.close();
                    this.#tell.state(`The hub does not take this name: ${data.message ?? data.code}.`);
                }
                break;
            case 'join_response':
                this.#people = new Set(data.peers);
                this.#tell.people([...this.#people]);
                break;
            case 'presence':
                if (data.state === 'joined') {
                    this.#people.add(data.peer_id);
                } else {
                    this.#people.delete(data.peer_id);
                    this.#tell.gone(data.peer_id);
                }
                this.#tell.people([...this.#people]);
                break;
            case 'sdp':
                this.#tell.description(data.from_id, data.session_description);
                break;
            case 'candidate':
                this.#tell.candidate(data.from_id, data.candidate);
                break;
            case 'data_channel': {
                const bytes = Uint8Array.from(atob(data.payload ?? ''), c => c.charCodeAt(0));
                this.#tell.data(data.from_id, data.label, new TextDecoder().decode(bytes));
                break;
            }
            case 'error':
                if (data.code === 'unknown_target') this.#tell.gone(data.to_id);
                this.#tell.refused(data.message);
                break;
        }
    }
}
