// Runs OpenAI's official JavaScript client against a node: node test.mjs URL KEY MODEL.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [url, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

const ask = (text, more) => ({
  model,
  messages: [{ role: 'system', content: 'Answer briefly.' }, { role: 'user', content: text }],
  temperature: 0,
  max_completion_tokens: 24,
  ...more,
});

const weather = {
  tool_choice: 'required',
  parallel_tool_calls: false,
  max_completion_tokens: 64,
  tools: [{
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } }, required: ['city'], additionalProperties: false },
    },
  }],
};

const nodeSchema = {
  type: 'object',
  properties: { name: { type: 'string', enum: ['Shoal', 'Fish'] }, nodes: { type: 'integer', enum: [1, 2, 3] } },
  required: ['name', 'nodes'],
  additionalProperties: false,
};

const tests = {
  async models() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(model), `${model} is not in ${ids}`);
    assert.equal((await client.models.retrieve(model)).object, 'model');
  },

  async chat() {
    const reply = await client.chat.completions.create(ask('What is Shoal?'));
    assert.ok(reply.choices[0].message.content.length > 0);
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  },

  async stream() {
    const whole = await client.chat.completions.create(ask('What is Shoal?'));
    const stream = await client.chat.completions.create(ask('What is Shoal?', { stream: true, stream_options: { include_usage: true } }));
    let text = '';
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  },

  async streamHelper() {
    const runner = client.chat.completions.stream(ask('What is Shoal?'));
    const final = await runner.finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
  },

  async tools() {
    const reply = await client.chat.completions.create(ask('What is the weather in Paris?', weather));
    const { message, finish_reason } = reply.choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.tool_calls.length, 1);
    const [call] = message.tool_calls;
    assert.equal(call.function.name, 'get_weather');
    assert.ok(JSON.parse(call.function.arguments).city);
    const messages = [{ role: 'user', content: 'What is the weather in Paris?' }, message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }];
    const answer = await client.chat.completions.create(ask('', { ...weather, messages, tool_choice: 'none' }));
    assert.ok(!answer.choices[0].message.tool_calls);
  },

  async streamedTools() {
    const runner = client.chat.completions.stream(ask('What is the weather in Paris?', weather));
    const final = await runner.finalChatCompletion();
    assert.ok(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments).city);
  },

  async schema() {
    const response_format = { type: 'json_schema', json_schema: { name: 'node', strict: true, schema: nodeSchema } };
    const reply = await client.chat.completions.parse(ask('Describe yourself.', { response_format, max_completion_tokens: 96 }));
    const node = JSON.parse(reply.choices[0].message.content);
    assert.ok(['Shoal', 'Fish'].includes(node.name));
    assert.ok(Number.isInteger(node.nodes));
  },

  async completions() {
    const reply = await client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 8, temperature: 0 });
    const stream = await client.completions.create({ model, prompt: 'Once upon a time', max_tokens: 8, temperature: 0, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
    assert.equal(text, reply.choices[0].text);
  },

  async embeddings() {
    // Without a format the client asks for base64 and decodes it.
    const [bare, floats] = await Promise.all([
      client.embeddings.create({ model, input: ['a fish', 'a shoal of fish'] }),
      client.embeddings.create({ model, input: ['a fish', 'a shoal of fish'], encoding_format: 'float' }),
    ]);
    assert.equal(bare.data.length, 2);
    bare.data.forEach((d, i) => d.embedding.forEach((v, j) => assert.ok(Math.abs(v - floats.data[i].embedding[j]) < 1e-6)));
  },

  async errors() {
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.retrieve(model), OpenAI.AuthenticationError);
    await assert.rejects(client.chat.completions.create(ask('hi', { model: 'no-such-model' })), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create(ask('hi', { temperature: 3, stream: true })),
      (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature' && e.type === 'invalid_request_error');
  },

  async abort() {
    const stream = await client.chat.completions.create(ask('What is Shoal?', { stream: true }));
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break; // closes the connection
    }
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}\n${e.stack}`);
  }
}
process.exit(failed ? 1 : 0);
