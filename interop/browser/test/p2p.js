// The demo page of the hub: page to page, and page to `smoq p2p`.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { demoForTests, reaches, said, say, startHub, startPeer } from '../support/demo.js';

const register = demoForTests();

test('two pages talk directly', { timeout: 60_000 }, async t => {
    const { page: url } = await startHub(t);
    const ann = await register(t, url, 'ann');
    const bob = await register(t, url, 'bob');
    await ann.getByRole('button', { name: 'Call bob' }).click();
    await reaches(ann, 'bob', 'direct');
    await reaches(bob, 'ann', 'direct');
    await say(ann, 'good morning');
    await said(bob, 'ann (chat): good morning');
    await say(bob, 'to you too');
    await said(ann, 'bob (chat): to you too');
    await ann.getByRole('row').filter({ hasText: 'bob' }).getByText(/^\d+ ms$/).waitFor();
    await ann.getByRole('button', { name: 'Hang up on bob' }).click();
    await said(bob, /The call with ann is over/);
});

test('a page calls smoq p2p', { timeout: 60_000 }, async t => {
    const { hub, page: url } = await startHub(t);
    const bob = startPeer(t, hub, 'bob');
    await bob.printed(/^id bob$/);
    const ann = await register(t, url, 'ann');
    await ann.getByRole('button', { name: 'Call bob' }).click();
    await bob.printed(/^ann: channel chat is open$/);
    await reaches(ann, 'bob', 'direct');
    await say(ann, 'is anybody there?');
    await bob.printed(/^\[ann chat\] is anybody there\?$/);
    bob.type('send chat yes, bob\n');
    await said(ann, 'bob (chat): yes, bob');
    bob.type('quit\n');
    await said(ann, /The call with bob is over/);
    assert.equal(await bob.ended(), 0);
});

test('smoq p2p calls a page', { timeout: 60_000 }, async t => {
    const { hub, page: url } = await startHub(t);
    const ann = await register(t, url, 'ann');
    const bob = startPeer(t, hub, 'bob');
    await bob.printed(/^here: ann$/);
    bob.type('offer ann\nsend chat hello page\n');
    await said(ann, 'bob (chat): hello page');
    await say(ann, 'hello program');
    await bob.printed(/^\[ann chat\] hello program$/);
    // A page takes no files, and says so.
    bob.type('sendfile chat package.json\n');
    await bob.printed(/package\.json is not taken: this page takes no files/);
});

test('both call at once', { timeout: 60_000 }, async t => {
    const { page: url } = await startHub(t);
    const ann = await register(t, url, 'ann');
    const bob = await register(t, url, 'bob');
    await Promise.all([
        ann.getByRole('button', { name: 'Call bob' }).click(),
        bob.getByRole('button', { name: 'Call ann' }).click(),
    ]);
    await reaches(ann, 'bob', 'direct');
    await reaches(bob, 'ann', 'direct');
    await say(ann, 'one');
    await said(bob, 'ann (chat): one');
    await say(bob, 'two');
    await said(ann, 'bob (chat): two');
});

/** From now on a page uses TURN servers only, of which there are none. */
function wall_in(page) {
    return page.evaluate(() => {
        globalThis.RTCPeerConnection = class extends RTCPeerConnection {
            constructor(config) {
                super({ ...config, iceTransportPolicy: 'relay' });
            }
        };
    });
}

test('two pages without a direct way talk through the hub', { timeout: 90_000 }, async t => {
    const { page: url } = await startHub(t);
    const ann = await register(t, url, 'ann');
    const bob = await register(t, url, 'bob');
    await Promise.all([ann, bob].map(wall_in));
    await ann.getByRole('button', { name: 'Call bob' }).click();
    await ann.getByRole('row').filter({ hasText: 'bob' }).waitFor();
    // Said while they still look for a way.
    await say(ann, 'anybody?');
    await reaches(ann, 'bob', 'through the hub');
    await reaches(bob, 'ann', 'through the hub');
    await said(bob, 'ann (chat, through the hub): anybody?');
    await say(bob, 'I hear you');
    await said(ann, 'bob (chat, through the hub): I hear you');
});

/** A folder for a test. */
function folder(t) {
    const path = mkdtempSync(join(tmpdir(), 'smoq-files-'));
    t.after(() => rmSync(path, { recursive: true }));
    return path;
}

/**
 * A page as somebody else would write it: without files of the demo's, but for the client of the hub. It calls a
 * peer, and sends it a file; then it takes one.
 */
async function exchange_files({ peer, bytes, hash }) {
    const { Hub } = await import('/hub.js');
    const connection = new RTCPeerConnection();
    const early = [];
    const hub = await new Promise(done => {
        const own = new Hub('stranger', 'lobby', {
            state: text => text.startsWith('You are') && done(own),
            people() {},
            gone() {},
            refused(why) { throw new Error(why); },
            async description(_from, description) {
                await connection.setRemoteDescription(description);
                for (const candidate of early.splice(0)) await connection.addIceCandidate(candidate);
            },
            candidate: (_from, candidate) =>
                connection.remoteDescription ? connection.addIceCandidate(candidate) : early.push(candidate),
        });
    });
    connection.onicecandidate = ({ candidate }) => candidate && hub.candidate(peer, candidate);
    const taken = new Promise(done => {
        connection.ondatachannel = ({ channel }) => {
            channel.binaryType = 'arraybuffer';
            const all = [];
            let name;
            channel.onmessage = ({ data }) => {
                if (typeof data !== 'string') return all.push(...new Uint8Array(data));
                const [verb, , rest] = data.split(' ');
                if (verb === 'begin') {
                    name = rest;
                    channel.send('go');
                } else {
                    channel.send('done');
                    done({ name, all });
                }
            };
        };
    });
    const channel = connection.createDataChannel('files', { protocol: 'smoq-file' });
    const given = new Promise(done => {
        channel.onopen = () => channel.send(`begin ${bytes.length} from the page`);
        channel.onmessage = ({ data }) => {
            if (data !== 'go') return done(data);
            for (let at = 0; at < bytes.length; at += 16384) {
                channel.send(new Uint8Array(bytes.slice(at, at + 16384)));
            }
            channel.send(`end ${hash}`);
        };
    });
    await connection.setLocalDescription();
    hub.sdp(peer, connection.localDescription);
    const answer = await given;
    return { answer, ...await taken };
}

test('bytes arrive as they were sent, both ways', { timeout: 60_000 }, async t => {
    const { hub, page: url } = await startHub(t);
    const [files, save] = [folder(t), folder(t)];
    const bob = startPeer(t, hub, 'bob', ['--save', save]);
    await bob.printed(/^id bob$/);
    const page = await register(t, url, 'ann');
    const bytes = Array.from({ length: 50_000 }, (_, i) => (i * i) >> 3 & 255);
    writeFileSync(join(files, 'picture.bin'), Buffer.from(bytes));
    const hash = createHash('sha256').update(Buffer.from(bytes)).digest('hex');
    const exchanged = page.evaluate(exchange_files, { peer: 'bob', bytes, hash });
    await bob.printed(/from the page is here, 50000 bytes/);
    assert.deepEqual([...readFileSync(join(save, 'from the page'))], bytes);
    bob.type(`sendfile chat ${join(files, 'picture.bin')}\n`);
    // There is no channel for chat: the page opened none.
    await bob.printed(/no call has a channel chat/);
    bob.type('channel chat\n');
    bob.type(`sendfile chat ${join(files, 'picture.bin')}\n`);
    const { answer, name, all } = await exchanged;
    assert.deepEqual([answer, name], ['done', 'picture.bin']);
    assert.deepEqual(all, bytes);
});
