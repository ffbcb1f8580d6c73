// What `smoq p2p` shows and plays, as the hub's page sees and hears it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { demoForTests, reaches, said, startHub, startPeer } from '../support/demo.js';
import { Smoq } from '../support/smoq.js';

const skip = spawnSync('ffmpeg', ['-version']).error ? 'ffmpeg is not at hand' : false;
const register = demoForTests();
const folder = mkdtempSync(join(tmpdir(), 'smoq-media-'));
const [video, audio] = ['bounce.yuv', 'sample.wav'].map(name => join(folder, name));
after(() => rmSync(folder, { recursive: true }));

async function generate(t) {
    const makes = [['video', '--duration', '3s', '--output', video], ['audio', '--output', audio]];
    for (const args of makes) assert.equal(await new Smoq(t, ['generate', ...args]).ended(), 0);
}

/** Waits until the picture of a peer is there and has moved: how it was, in numbers. */
function moves(page, peer) {
    return page.evaluate(async label => {
        const [WIDTH, HEIGHT] = [64, 48];
        const screen = () => document.querySelector(`video[aria-label="${label}"]`);
        const next = () => new Promise(done => setTimeout(done, 50));
        const look = () => {
            const canvas = new OffscreenCanvas(WIDTH, HEIGHT).getContext('2d');
            canvas.drawImage(screen(), 0, 0, WIDTH, HEIGHT);
            return canvas.getImageData(0, 0, WIDTH, HEIGHT).data.filter((_, i) => i % 4 === 0);
        };
        // A ball on black: where its middle is.
        const ball = light => {
            const places = [...light].flatMap((it, place) => it > 128 ? [place] : []);
            const mean = places.reduce((sum, place) => sum + place % WIDTH, 0) / places.length;
            return { size: places.length, mean };
        };
        while (!screen()?.videoWidth) await next();
        const first = ball(look());
        let then = first;
        while (!(then.size > 0 && Math.abs(then.mean - first.mean) > 3)) {
            await next();
            then = ball(look());
            if (!first.size) Object.assign(first, then);
        }
        return { width: screen().videoWidth, height: screen().videoHeight, size: then.size / (WIDTH * HEIGHT) };
    }, `What ${peer} shows`);
}

/** The frequency that is heard most of a peer, in hertz. */
function heard(page, peer) {
    return page.evaluate(async label => {
        const context = new AudioContext();
        const analyser = new AnalyserNode(context, { fftSize: 8192 });
        const { srcObject } = document.querySelector(`video[aria-label="${label}"]`);
        context.createMediaStreamSource(srcObject).connect(analyser);
        const levels = new Float32Array(analyser.frequencyBinCount);
        for (;;) {
            await new Promise(done => setTimeout(done, 50));
            analyser.getFloatFrequencyData(levels);
            const most = levels.indexOf(Math.max(...levels));
            if (levels[most] > -40) return most * context.sampleRate / analyser.fftSize;
        }
    }, `What ${peer} shows`);
}

test('a page calls and sees and hears', { skip, timeout: 90_000 }, async t => {
    await generate(t);
    const { hub, page: url } = await startHub(t);
    const bob = startPeer(t, hub, 'bob', ['--video', video, '--audio', audio]);
    await bob.printed(/^id bob$/);
    const ann = await register(t, url, 'ann');
    await ann.getByRole('button', { name: 'Call bob' }).click();
    await bob.printed(/^ann: takes pictures$/);
    await bob.printed(/^ann: takes sound$/);
    await reaches(ann, 'bob', 'direct');
    const { width, height, size } = await moves(ann, 'bob');
    assert.deepEqual([width, height], [640, 480]);
    assert.ok(size > 0.005 && size < 0.2, `a ball, not ${size} of the picture`);
    assert.ok(Math.abs(await heard(ann, 'bob') - 440) < 10);
    // The numbers on the page, which are the browser's.
    await ann.getByText(/bob: \d{2,} pictures, sound level [1-9]\d* %/).waitFor();
    const mute = ann.getByRole('button', { name: 'Mute bob' });
    await mute.click();
    assert.equal(await mute.getAttribute('aria-pressed'), 'true');
    assert.ok(await ann.evaluate(() => document.querySelector('video').muted));
    await ann.getByRole('button', { name: 'Hang up on bob' }).click();
    await said(ann, /The call with bob is over/);
    await ann.getByText('Nothing yet.').waitFor();
    assert.equal(await ann.locator('video').count(), 0);
});

test('smoq p2p calls a page and shows a file', { skip, timeout: 90_000 }, async t => {
    await generate(t);
    const { hub, page: url } = await startHub(t);
    const ann = await register(t, url, 'ann');
    const bob = startPeer(t, hub, 'bob', ['--video', video]);
    await bob.printed(/^here: ann$/);
    bob.type('offer ann\nsend chat look\n');
    await said(ann, 'bob (chat): look');
    await moves(ann, 'bob');
    bob.type('stats\n');
    const frames = (await bob.printed(/frames sent/)).match(/frames sent (\d+)/)[1];
    assert.ok(Number(frames) > 0);
    bob.type('quit\n');
    await said(ann, /The call with bob is over/);
    assert.equal(await bob.ended(), 0);
});
