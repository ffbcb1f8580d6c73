// Just enough of moq-lite-06 to read a track, on nothing but what browsers have.

const SETUP = 1, GROUP = 0; // Unidirectional streams.
const ANNOUNCE = 1, SUBSCRIBE = 2; // Bidirectional streams.
const START = 0, END = 1; // Messages of a publisher.

/** Opens a WebTransport session. `hash` is the SHA-256 of the certificate, in hexadecimal. */
export function open(url, hash) {
    const value = Uint8Array.from(hash.match(/../g), byte => parseInt(byte, 16));
    return new WebTransport(url, {
        serverCertificateHashes: [{ algorithm: 'sha-256', value }],
        protocols: ['moq-lite-06', 'moq-lite-05'],
    });
}

/** A session of moq-lite that is ready. */
export class Session {
    #transport;
    #groups = new Map();

    static async start(transport) {
        const session = new Session();
        session.#transport = transport;
        const setup = (await transport.createUnidirectionalStream()).getWriter();
        await setup.write(new Uint8Array([SETUP, ...message(0)]));
        await setup.close();
        session.#accept().catch(error => console.log(`no more streams: ${error}`));
        return session;
    }

    /** Waits for the first broadcast below a prefix; gives back the rest of its path. */
    async announced(prefix) {
        const reader = await this.#ask([ANNOUNCE, ...message(...string(prefix))]);
        await reader.message(); // ANNOUNCE_OK
        const type = await reader.varint();
        if (type !== START) throw new Error(`message ${type} instead of an announcement`);
        const start = await reader.message();
        return start.string();
    }

    /** Reads a track from its first group to its end: the payloads of all frames, joined. */
    async read(broadcast, track) {
        const [id, priority, maxAge, from, noEnd] = [0, 128, 60_000, 0, 0];
        const reader = await this.#ask([SUBSCRIBE, ...message(
            ...varint(id), ...string(broadcast), ...string(track), priority, ...varint(maxAge),
            ...varint(from), noEnd, 0, noEnd,
        )]);
        let start, end;
        while (end === undefined) {
            const type = await reader.varint();
            const body = await reader.message();
            if (type === START) start = await body.varint();
            if (type === END) end = await body.varint();
        }
        const frames = [];
        for (let sequence = start; sequence < end; sequence++) {
            frames.push(...await this.#group(sequence).promise);
        }
        return new Uint8Array(await new Blob(frames).arrayBuffer());
    }

    async #ask(request) {
        const stream = await this.#transport.createBidirectionalStream();
        await stream.writable.getWriter().write(new Uint8Array(request));
        return new Reader(stream.readable.getReader());
    }

    async #accept() {
        const streams = this.#transport.incomingUnidirectionalStreams.getReader();
        for (; ;) {
            const { value, done } = await streams.read();
            if (done) return;
            const reader = new Reader(value.getReader());
            if (await reader.varint() !== GROUP) continue;
            const header = await reader.message();
            await header.varint(); // Which subscription: there is one.
            this.#group(await header.varint()).resolve(frames(reader));
        }
    }

    /** What a group is waited for with, whether it came first or was asked for first. */
    #group(sequence) {
        if (!this.#groups.has(sequence)) this.#groups.set(sequence, Promise.withResolvers());
        return this.#groups.get(sequence);
    }
}

async function frames(reader) {
    const payloads = [];
    while (!await reader.atEnd()) {
        await reader.varint(); // The time since the frame before.
        payloads.push(await reader.bytes(await reader.varint()));
    }
    return payloads;
}

/** Takes a stream, or bytes that are there, apart. */
class Reader {
    #source;
    #buffer;

    constructor(source, buffer = new Uint8Array()) {
        this.#source = source;
        this.#buffer = buffer;
    }

    async atEnd() {
        return this.#buffer.length === 0 && !await this.#more();
    }

    async bytes(size) {
        while (this.#buffer.length < size) {
            if (!await this.#more()) throw new Error('the stream has ended too early');
        }
        const bytes = this.#buffer.slice(0, size);
        this.#buffer = this.#buffer.subarray(size);
        return bytes;
    }

    async varint() {
        const [first] = await this.bytes(1);
        let value = first & 0x3f;
        for (const byte of await this.bytes((1 << (first >> 6)) - 1)) value = value * 256 + byte;
        return value;
    }

    async message() {
        return new Reader(undefined, await this.bytes(await this.varint()));
    }

    async string() {
        return new TextDecoder().decode(await this.bytes(await this.varint()));
    }

    async #more() {
        const { value, done } = await this.#source?.read() ?? { done: true };
        if (done) return false;
        const joined = new Uint8Array(this.#buffer.length + value.length);
        joined.set(this.#buffer);
        joined.set(value, this.#buffer.length);
        this.#buffer = joined;
        return true;
    }
}

function varint(value) {
    if (value < 1 << 6) return [value];
    if (value < 1 << 14) return [0x40 | value >> 8, value & 0xff];
    return [0x80 | value >> 24, value >> 16 & 0xff, value >> 8 & 0xff, value & 0xff];
}

function string(text) {
    const bytes = new TextEncoder().encode(text);
    return [...varint(bytes.length), ...bytes];
}

function message(...body) {
    return [...varint(body.length), ...body];
}
