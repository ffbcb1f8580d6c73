// Chromium, and the HTTP server of its pages.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/**
 * Chromium for all tests of a file. Gives back what opens a page for a test, in which `/lite.js` and
 * `/net.js` can be imported.
 */
export function browserForTests() {
    let server;
    const open = chromiumForTests([]);
    before(async () => { server = await serve(); });
    after(() => server?.close());
    return t => open(t, `http://127.0.0.1:${server.address().port}/`);
}

/**
 * Chromium for all tests of a file, started with these arguments. Gives back what opens a page for a test,
 * at a URL.
 */
export function chromiumForTests(args) {
    let browser;
    before(async () => {
        // Without its sandbox, as Playwright has it unless told otherwise: root has none, and the pages
        // are ours.
        browser = await chromium.launch({ executablePath: CHROMIUM, args, timeout: 90_000 });
    });
    after(() => browser?.close());
    return async (t, url) => {
        const page = await browser.newPage();
        // The limit of the test is enough.
        page.setDefaultTimeout(0);
        const said = [];
        page.on('console', message => said.push(message.text()));
        page.on('pageerror', error => said.push(String(error)));
        t.after(async () => {
            await page.close();
            if (!t.passed) console.error(`page:\n${said.join('\n')}`);
        });
        await page.goto(url);
        return page;
    };
}

async function serve() {
    const files = new Map([
        ['/', ['text/html', '<!doctype html><title>smoq</title><link rel="icon" href="data:,">']],
        ['/lite.js', ['text/javascript', await ours('lite.js')]],
        ['/net.js', ['text/javascript', await ours('net.js')]],
        ['/moq-net.js', ['text/javascript', await bundle('@moq/net')]],
    ]);
    const server = createServer((request, response) => {
        const [type, body] = files.get(request.url) ?? [];
        response.writeHead(type ? 200 : 404, type && { 'content-type': type }).end(body);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return server;
}

function ours(name) {
    return readFile(new URL(`../page/${name}`, import.meta.url));
}

/** A package with all that it needs, as one module for a page. */
async function bundle(name) {
    const result = await build({
        stdin: {
            contents: `export * from '${name}'`,
            resolveDir: fileURLToPath(new URL('..', import.meta.url)),
        },
        bundle: true,
        format: 'esm',
        write: false,
    });
    return result.outputFiles[0].contents;
}
