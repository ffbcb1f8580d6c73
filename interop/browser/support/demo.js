// The hub's demo page, and who can be called from it.
import { chromiumForTests } from './browser.js';
import { Smoq } from './smoq.js';

export async function startHub(t) {
    const program = new Smoq(t, ['signal', '--listen', '127.0.0.1:0', '--demo']);
    const [hub, page] = await program.lines(2);
    return { hub, page };
}

/** Chromium for all tests of a file. Gives back what opens a demo page for a test, and registers it. */
export function demoForTests() {
    // Pages do not look for a way over loopback unless they are told to.
    const open = chromiumForTests(['--allow-loopback-in-peer-connection']);
    return async (t, url, name) => {
        const page = await open(t, url);
        await page.getByLabel('Your name').fill(name);
        await page.getByRole('button', { name: 'Register' }).click();
        await page.getByText(`You are ${name}.`).waitFor();
        return page;
    };
}

/** A program beside the pages. */
export function startPeer(t, hub, name, args = []) {
    const base = ['p2p', '--signal', hub, '--name', name, '--role', 'peer', '--bind', '127.0.0.1'];
    return new Smoq(t, [...base, ...args], null);
}

export async function say(page, text) {
    await page.getByLabel('Message').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
}

/** Waits until something stands in the log. */
export const said = (page, text) => page.getByRole('log').getByText(text).waitFor();

/** Waits until the call with a peer is in a state. */
export const reaches = (page, peer, state) =>
    page.getByRole('row').filter({ hasText: peer }).getByText(state, { exact: true }).waitFor();
