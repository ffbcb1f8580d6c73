// What an application does with @moq/net.
import { Broadcast, Connection, Path, Time } from '/moq-net.js';

const FRAME = 4096, FRAMES = 16;

/**
 * Connects, with one version. `hash` is the SHA-256 of the certificate, in hexadecimal; for an `http:`
 * URL there is none, and the library asks the relay.
 */
export function connect({ url, hash, version }) {
    const serverCertificateHashes = hash ? [{ value: hash }] : [];
    return Connection.connect(new URL(url), {
        webtransport: { serverCertificateHashes, protocols: [version] },
        websocket: { enabled: false },
    });
}

/** Announces a broadcast. Whoever asks for a track of it gets all of `payload`, in several groups. */
export function publish(connection, path, payload) {
    const broadcast = new Broadcast.Producer();
    connection.publish(Path.from(path), broadcast);
    serve(broadcast, payload).catch(error => console.log(`nothing more is served: ${error}`));
}

async function serve(broadcast, payload) {
    for (let request; (request = await broadcast.requested());) {
        const track = request.accept({ latencyMax: 60_000 });
        for (let begin = 0; begin < payload.length; begin += FRAMES * FRAME) {
            const group = track.appendGroup();
            const end = Math.min(begin + FRAMES * FRAME, payload.length);
            for (let at = begin; at < end; at += FRAME) {
                const frame = payload.subarray(at, Math.min(at + FRAME, end));
                group.writeFrame({ payload: frame, timestamp: Time.Timestamp.now() });
            }
            group.close();
        }
        track.close();
    }
}

/** Waits for the first broadcast below a prefix, and reads a track from its first group to its end. */
export async function read(connection, prefix, name) {
    const { path } = await connection.announced(Path.from(prefix)).next();
    const broadcast = connection.consume(Path.from(prefix, path));
    const track = broadcast.track(name).subscribe({ startGroup: 0, latencyMax: 60_000 });
    const groups = [];
    for (let group; (group = await track.recvGroup());) {
        const frames = groups[group.sequence] = [];
        for (let frame; (frame = await group.readFrame());) frames.push(frame.payload);
    }
    return new Uint8Array(await new Blob(groups.flat()).arrayBuffer());
}
