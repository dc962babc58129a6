import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

extension RenderedChat {
    /// The text of some ranges, put together.
    func text(of spans: [Range<Int>]) -> String {
        let bytes = Array(text.utf8)
        return String(decoding: spans.flatMap { bytes[$0] }, as: UTF8.self)
    }
}

/// What should be found in the text written for a message: its words without the thinking that templates move or drop.
enum MessageWords {
    static func of(_ message: JSON, withCalls: Bool = true) -> [String] {
        let parts = message["content"]?.array?.compactMap { $0["text"]?.string } ?? [message["content"]?.string ?? ""]
        let named = message["tool_calls"]?.array?.compactMap { $0["function"]?["name"]?.string } ?? []
        let calls = withCalls ? named : []
        return (parts + calls).map { text in
            let kept = text.range(of: "</think>").map { String(text[$0.upperBound...]) } ?? text
            return kept.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }.filter { !$0.isEmpty }
    }

    static func areIn(_ text: String, _ words: [String]) -> Bool {
        let plain = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return words.allSatisfy { plain.contains($0) }
    }
}

@Suite("Spans say which text was written for which message")
struct ChatTemplateSpanTests {
    @Test("in every golden render, a message's words lie in its own spans and no two spans overlap")
    func ownWords() throws {
        let conversations = try TemplateFixtures.conversations()
        var checked = 0
        for golden in try TemplateFixtures.rows("renders.json").map(GoldenRender.init) where golden.text != nil {
            let conversation = try #require(conversations[golden.conversation])
            let chat = try TemplateFixtures.template(golden.template)
                .render(conversation, addGenerationPrompt: golden.addGenerationPrompt)
            let messages = conversation["messages"]?.array ?? []
            checked += try expectSane(chat, messages, "\(golden.testDescription)")
        }
        #expect(checked > 800)
    }

    /// Checks one render; how many messages had words in their spans.
    private func expectSane(_ chat: RenderedChat, _ messages: [JSON], _ label: String) throws -> Int {
        #expect(chat.messageSpans.count == messages.count)
        let all = chat.messageSpans.flatMap { $0 }.sorted { $0.lowerBound < $1.lowerBound }
        for (a, b) in zip(all, all.dropFirst()) { #expect(a.upperBound <= b.lowerBound, "\(label)") }
        #expect(all.last.map { $0.upperBound <= chat.text.utf8.count } ?? true, "\(label)")
        var found = 0
        for (message, spans) in zip(messages, chat.messageSpans) where !spans.isEmpty {
            let written = chat.text(of: spans)
            let words = MessageWords.of(message)
            if MessageWords.areIn(chat.text, words) {
                #expect(MessageWords.areIn(written, words), "\(label): \(written)")
            }
            found += 1
        }
        for (message, spans) in zip(messages, chat.messageSpans) where message["role"]?.string == "assistant" {
            #expect(!spans.isEmpty || MessageWords.of(message).isEmpty, "\(label)")
        }
        return found
    }

    private func spans(_ source: String, _ messages: [JSON]) throws -> [String] {
        let chat = try ChatTemplate(source).render(messages: messages)
        return chat.messageSpans.map { chat.text(of: $0) }
    }

    private let two: [JSON] = [
        ["role": "user", "content": "Q"],
        ["role": "assistant", "content": "A", "tool_calls": [["n": "x"], ["n": "y"]]],
    ]

    @Test(
        "identity survives slices, aliases, filters, namespaces, copies and counting loops",
        arguments: [
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            "{% set rest = messages[0:] %}{% for m in rest %}{{ m.content }}{% endfor %}",
            "{% for m in messages|list|reverse|list|reverse %}{{ m.content }}{% endfor %}",
            "{% for m in messages|selectattr('role')|list %}{{ m.content }}{% endfor %}",
            "{% for m in messages if m.role %}{{ m.content }}{% endfor %}",
            "{% set ns = namespace(x=[]) %}{% for m in messages %}{% set ns.x = ns.x + [m] %}{% endfor %}{% for q in ns.x %}{{ q.content }}{% endfor %}",
            "{% set ns = namespace(x=[]) %}{% for m in messages %}{% set ns.x = ns.x + [dict(m, content=m.content)] %}{% endfor %}{% for q in ns.x %}{{ q.content }}{% endfor %}",
            "{% set ns = namespace(x=[]) %}{% for m in messages %}{% set ns.x = ns.x + [{'role': m.role, 'content': m.content}] %}{% endfor %}{% for q in ns.x %}{{ q.content }}{% endfor %}",
            "{% for i in range(messages|length) %}{{ messages[i].content }}{% endfor %}",
            "{% for i in range(messages|length) %}{% set m = messages[i] %}{{ m.content }}{% endfor %}",
            "{% for i, m in [(0, messages[0]), (1, messages[1])] %}{{ m.content }}{% endfor %}",
            "{% macro all(ms) %}{% for m in ms %}{{ m.content }}{% endfor %}{% endmacro %}{{ all(messages) }}",
            "{% set t %}  {% for m in messages %}{{ m.content }}{% endfor %}  {% endset %}{{ t|trim }}",
            "{% macro one(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{{ one(m) }}{% endfor %}",
            "{% for m in messages %}{% for c in m.content %}{{ c }}{% endfor %}{% endfor %}",
            "{% for r, ms in messages|groupby('role')|reverse %}{% for m in ms %}{{ m.content }}{% endfor %}{% endfor %}",
        ])
    func identity(source: String) throws {
        #expect(try spans(source, two) == ["Q", "A"])
    }

    @Test("loops inside an iteration stay with its message; text outside any iteration belongs to none")
    func nested() throws {
        let source =
            "<{% for m in messages %}[{{ m.role }}{% for c in m.tool_calls or [] %}{{ c.n }}{% endfor %}]{% endfor %}>"
        #expect(try spans(source, two) == ["[user]", "[assistantxy]"])
        let looking =
            "{% for m in messages %}{{ m.content }}{% for k in messages[loop.index:] %}({{ k.content }}){% endfor %};{% endfor %}"
        #expect(try spans(looking, two) == ["Q;", "(A)A;"])
    }

    @Test("a generation block inside a macro is where its text is printed")
    func generationInMacro() throws {
        let source =
            "{% macro turn(m) %}<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
            + "{% for m in messages %}{{ turn(m) }}{% endfor %}"
        let chat = try ChatTemplate(source).render(messages: two)
        #expect(chat.text == "<user>Q<assistant>A")
        #expect(chat.generationSpans.map { chat.text(of: [$0]) } == ["Q", "A"])
        #expect(chat.hasGenerationBlocks)
    }

    @Test("a counting loop that shows tool results under the call gives them to the tool's message")
    func toolResults() throws {
        let conversation = try #require(try TemplateFixtures.conversations()["tool-call"])
        let chat = try TemplateFixtures.template("counting").render(conversation, addGenerationPrompt: false)
        #expect(chat.text(of: chat.messageSpans[2]) == "<|result|>{\"height\": 4.2}<|end|>")
        #expect(!chat.text(of: chat.messageSpans[1]).contains("4.2"))
    }
}
