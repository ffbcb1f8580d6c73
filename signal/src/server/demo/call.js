// A call: an RTCPeerConnection with a channel for chat, what the peer shows and plays, and the hub where there is
// no direct way.

const CHAT = 'chat';
const PATIENCE = 15_000;
const ABSENCE = 30_000;
export const MOST_EARLY = 64;

export class Call {
    state = 'new';
    stats = { sent: 0, received: 0, trip: '–', way: '–', pictures: 0, level: 0 };
    /** What the peer shows and plays. */
    stream = new MediaStream();
    #hub;
    #peer;
    #tell;
    #connection;
    #channel;
    #waiting = [];
    #early = [];
    #timer;
    /** Runs while the peer is not at the hub. */
    #absence;
    #is_missed = false;
    /** What changes the connection, one after the other. */
    #turn = Promise.resolve();

    /**
     * @param hub the client of the hub
     * @param peer with whom
     * @param tell what is called: message, changed, ended
     */
    constructor(hub, peer, tell) {
        this.#hub = hub;
        this.#peer = peer;
        this.#tell = tell;
    }

    offer() {
        this.#do(async () => {
            if (this.#connection) return;
            if (!await this.#begin()) return;
            this.#use(this.#connection.createDataChannel(CHAT));
            // This page has nothing to show itself.
            for (const kind of ['audio', 'video']) this.#connection.addTransceiver(kind, { direction: 'recvonly' });
            await this.#connection.setLocalDescription();
            if (this.state === 'over') return;
            this.#enter('calling');
            this.#hub.sdp(this.#peer, this.#connection.localDescription);
        });
    }

    description(description) {
        this.present();
        this.#do(async () => {
            const crossed = description?.type === 'offer' && this.#connection?.signalingState === 'have-local-offer';
            // Both have called: the greater name insists on its own offer, as with all clients of the hub.
            if (crossed && this.#hub.name > this.#peer) return;
            if (description?.type === 'offer' && (crossed || this.#is_other(description))) {
                this.#connection?.close();
                this.#channel = undefined;
                if (!await this.#begin()) return;
            }
            if (!this.#connection) return;
            await this.#connection.setRemoteDescription(description);
            if (this.state === 'over') return;
            if (description.type === 'offer') {
                await this.#connection.setLocalDescription();
                if (this.state === 'over') return;
                this.#hub.sdp(this.#peer, this.#connection.localDescription);
            }
            for (const candidate of this.#early.splice(0)) await this.#add(candidate);
        });
    }

    candidate(candidate) {
        this.present();
        this.#do(async () => {
            if (this.#connection?.remoteDescription) await this.#add(candidate);
            else if (this.#early.length < MOST_EARLY) this.#early.push(candidate);
        });
    }

    say(text) {
        if (this.#channel?.readyState === 'open') this.#channel.send(text);
        else if (this.state === 'through the hub') this.#hub.data(this.#peer, CHAT, text);
        else this.#waiting.push(text);
        this.stats.sent++;
    }

    hang_up() {
        this.#end('you hung up');
    }

    /** The hub does not know the peer any more. It may only have to connect anew. */
    gone() {
        if (this.state === 'calling') return this.#end('the peer is gone');
        this.#absence ??= setTimeout(() => {
            this.#is_missed = true;
            if (this.state !== 'direct') this.#end('the peer is gone');
        }, ABSENCE);
    }

    /** The peer is at the hub. */
    present() {
        clearTimeout(this.#absence);
        this.#absence = undefined;
        this.#is_missed = false;
    }

    /** Asks the browser for the numbers of the way. */
    async count() {
        const report = await this.#connection?.getStats();
        for (const it of report?.values() ?? []) {
            if (it.type === 'inbound-rtp' && it.kind === 'video') this.stats.pictures = it.framesDecoded ?? 0;
            if (it.type === 'inbound-rtp' && it.kind === 'audio') this.stats.level = it.audioLevel ?? 0;
            if (it.type !== 'candidate-pair' || !it.nominated || it.state !== 'succeeded') continue;
            const remote = report.get(it.remoteCandidateId);
            this.stats.way = `${remote?.candidateType} ${remote?.protocol}`;
            this.stats.trip = `${Math.round((it.currentRoundTripTime ?? 0) * 1000)} ms`;
        }
    }

    /** Whether there is a connection now: the call may have ended in the meantime. */
    async #begin() {
        const iceServers = await this.#hub.servers();
        if (this.state === 'over') return false;
        const connection = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
        this.#connection = connection;
        const stream = this.stream = new MediaStream();
        connection.ontrack = ({ track }) => {
            // There is a place for it, but nothing may ever come.
            track.onunmute = () => {
                stream.addTrack(track);
                this.#tell.changed();
            };
        };
        connection.onicecandidate = ({ candidate }) => {
            if (candidate) this.#hub.candidate(this.#peer, candidate);
        };
        connection.ondatachannel = ({ channel }) => this.#take(channel);
        connection.onconnectionstatechange = () => {
            if (connection !== this.#connection) return;
            if (connection.connectionState === 'connected') this.#enter('direct');
            if (connection.connectionState === 'failed') this.#around();
        };
        this.#enter('connecting');
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.state === 'direct' || this.#around(), PATIENCE);
        return true;
    }

    #take(channel) {
        if (channel.protocol) {
            // Files come on channels of their own.
            channel.onopen = () => channel.send('refuse this page takes no files');
            return;
        }
        this.#use(channel);
    }

    #use(channel) {
        channel.binaryType = 'arraybuffer';
        channel.onmessage = ({ data }) => {
            this.stats.received++;
            const text = typeof data === 'string' ? data : `${data.byteLength} bytes`;
            this.#tell.message(channel.label, text);
        };
        const open = () => {
            // One channel is for what is typed here: the first that opens.
            this.#channel ??= channel;
            for (const text of this.#waiting.splice(0)) this.#channel.send(text);
        };
        if (channel.readyState === 'open') open();
        else channel.onopen = open;
        channel.onclose = () => {
            if (channel === this.#channel) this.#end('the peer hung up');
        };
    }

    async #add(candidate) {
        // What cannot be used is passed over: another one may do.
        await this.#connection.addIceCandidate(candidate).catch(() => {});
    }

    /** Whether an offer begins another session than the one there is: the peer may have started again. */
    #is_other(offer) {
        const remote = this.#connection?.remoteDescription;
        return !remote || fingerprint(remote) !== fingerprint(offer);
    }

    /** There is no direct way. */
    #around() {
        if (this.#is_missed) return this.#end('the peer is gone');
        this.#enter('through the hub');
        for (const text of this.#waiting.splice(0)) this.#hub.data(this.#peer, CHAT, text);
    }

    #enter(state) {
        this.state = state;
        this.#tell.changed();
    }

    #end(why) {
        if (this.state === 'over') return;
        this.state = 'over';
        clearTimeout(this.#timer);
        clearTimeout(this.#absence);
        this.#connection?.close();
        this.#tell.ended(why);
    }

    #do(act) {
        this.#turn = this.#turn.then(() => this.state === 'over' || act()).catch(error => this.#end(error.message));
    }
}

function fingerprint({ sdp }) {
    return /a=fingerprint:(.*)/.exec(sdp ?? '')?.[1];
}
