// The demo page of the hub: page to page, and page to `smoq p2p`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromiumForTests } from '../support/browser.js';
import { Smoq } from '../support/smoq.js';

// Pages do not look for a way over loopback unless they are told to.
const open = chromiumForTests(['--allow-loopback-in-peer-connection']);

async function startHub(t) {
    const program = new Smoq(t, ['signal', '--listen', '127.0.0.1:0', '--demo']);
    const [hub, page] = await program.lines(2);
    return { hub, page };
}

/** A page that is registered. */
async function register(t, url, name) {
    const page = await open(t, url);
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Register' }).click();
    await page.getByText(`You are ${name}.`).waitFor();
    return page;
}

function startPeer(t, hub, name) {
    const args = ['p2p', '--signal', hub, '--name', name, '--role', 'peer', '--bind', '127.0.0.1'];
    return new Smoq(t, args, null);
}

async function say(page, text) {
    await page.getByLabel('Message').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
}

/** Waits until something stands in the log. */
const said = (page, text) => page.getByRole('log').getByText(text).waitFor();

/** Waits until the call with a peer is in a state. */
const reaches = (page, peer, state) =>
    page.getByRole('row').filter({ hasText: peer }).getByText(state, { exact: true }).waitFor();

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
