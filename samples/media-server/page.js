// SPDX-License-Identifier: Apache-2.0
// Shows /state, again and again. Everything is put in as text: much of it comes from hostile files.
'use strict';

const at = (id) => document.getElementById(id);

function row(cells, name) {
	const tr = document.createElement('tr');
	tr.className = name;
	for (const cell of cells) {
		const td = document.createElement('td');
		td.textContent = cell === undefined ? '' : String(cell);
		tr.append(td);
	}
	return tr;
}

function isolation(state) {
	const p = at('isolation');
	p.className = state.isolated ? '' : 'open';
	if (state.isolated) {
		p.textContent = `Each library is in a library domain of its own (backend ${state.backend}). ` +
			`Process ${state.pid}; the server's secret is ${state.secret}.`;
	} else if (state.way === 'fork') {
		p.textContent = 'LYCH_NONE: no isolation but a child process for each upload. A hostile file reads all that the server has.';
	} else {
		p.textContent = 'LYCH_NONE: no isolation. A hostile file owns this process.';
	}
	p.dataset.backend = state.backend;
}

function report(r) {
	const section = document.createElement('section');
	const heading = document.createElement('h3');
	const text = document.createElement('pre');
	heading.textContent = `request ${r.request}: ${r.format}`;
	text.textContent = r.text;
	section.append(heading, text);
	return section;
}

function show(state) {
	isolation(state);
	at('counts').tBodies[0].replaceChildren(
		row(Object.keys(state.counts), ''), row(Object.values(state.counts), 'values'));
	at('reports').replaceChildren(...state.reports.map(report));
	at('requests').tBodies[0].replaceChildren(...state.requests.map((r) =>
		row([r.id, r.path, r.bytes, r.format, r.status, r.end, r.why || r.text], r.end)));
}

async function look() {
	try {
		const response = await fetch('/state');
		show(await response.json());
	} catch (e) {
		at('isolation').className = 'open';
		at('isolation').textContent = 'The server does not answer.';
	}
	setTimeout(look, 500);
}

async function send(path, body) {
	const picture = at('picture');
	picture.hidden = true;
	at('answer').textContent = 'sent';
	try {
		const response = await fetch(path, { method: 'POST', body });
		const type = response.headers.get('Content-Type');
		if (type === 'application/json') {
			at('answer').textContent = `${response.status} ${await response.text()}`;
			return;
		}
		const blob = await response.blob();
		at('answer').textContent = `${response.status} ${type}, ${blob.size} bytes`;
		if (type === 'image/png') {
			URL.revokeObjectURL(picture.src);
			picture.src = URL.createObjectURL(blob);
			picture.hidden = false;
		}
	} catch (e) {
		at('answer').textContent = 'no answer: the server has ended';
	}
}

at('upload').addEventListener('submit', (event) => {
	event.preventDefault();
	const file = at('file').files[0];
	if (file) {
		send(event.submitter.value, file);
	}
});

at('attack').addEventListener('click', async () => {
	const response = await fetch('/cve-2023-45681.ogg');
	send('/inspect', await response.blob());
});

look();
