import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

/// The templates that TRL ships, read from an installed TRL: the environment variable `GRAFT_TRL_TEMPLATES` names their folder.
///
/// Their texts are not part of this repository; of each render by transformers the fixtures keep a length and a hash.
enum PeerTemplates {
    static var folder: String? {
        ProcessInfo.processInfo.environment["GRAFT_TRL_TEMPLATES"].flatMap { $0.isEmpty ? nil : $0 }
    }

    static func source(_ name: String) throws -> String {
        let bytes = try ByteSource((folder ?? "") + "/\(name).jinja").readAll()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// FNV-1a, 64 bits, as the generator computes it.
    static func hash(_ text: String) -> String {
        let value = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func golden() throws -> JSON { try JSON(contentsOf: Locations.fixture("templates/trl.json")) }

    /// The templates of the installed TRL that are those of the fixtures.
    static func known() throws -> [String: ChatTemplate] {
        var templates: [String: ChatTemplate] = [:]
        for (name, digest) in try golden()["templates"]?.object ?? [:] {
            guard let source = try? source(name), hash(source) == digest.string else { continue }
            templates[name] = try ChatTemplate(source, name: name)
        }
        return templates
    }
}

@Suite("TRL's templates", .enabled(if: PeerTemplates.folder != nil))
struct ChatTemplatePeerTests {
    @Test("render as transformers renders them, by length and hash")
    func renders() throws {
        let templates = try PeerTemplates.known()
        let conversations = try TemplateFixtures.conversations()
        var compared = 0
        for row in try PeerTemplates.golden()["renders"]?.array ?? [] {
            let fields = row.array ?? []
            guard fields.count >= 4, let name = fields[0].string, let template = templates[name] else { continue }
            let conversation = try #require(fields[1].string.flatMap { conversations[$0] })
            let label = "\(name) · \(fields[1].string ?? "") · \(fields[2].bool ?? false)"
            let result = Result { try template.render(conversation, addGenerationPrompt: fields[2].bool ?? false) }
            compared += 1
            switch (result, fields[3]) {
            case (.success(let chat), .integer(let length)):
                #expect(chat.text.utf8.count == length, "\(label)")
                #expect(PeerTemplates.hash(chat.text) == fields[4].string, "\(label): \(chat.text)")
                let generation = fields.count > 5 ? GoldenRender.ranges(fields[5]) : []
                #expect(chat.generationSpans == generation, "\(label)")
            case (.failure(let error as InputError), .string(let message)):
                if !message.isEmpty { #expect(error.message == message, "\(label)") }
            default: Issue.record("\(label): \(result), expected \(fields[3])")
            }
        }
        #expect(compared > 3000)
    }

    /// The marks that end a turn in these templates.
    private static let turnEnds: Set<String> = [
        "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|return|>", "<|call|>", "<|END_OF_TURN_TOKEN|>",
        "<｜end▁of▁sentence｜>", "<|eot|>", "<turn|>", "<end_of_utterance>", "</s>",
    ]

    /// A text as marks such as `<|im_end|>` and single characters: near enough to tokens for comparing beginnings and ends.
    private func pieces(_ text: String) -> [String] {
        var pieces: [String] = []
        var rest = text[...]
        while let first = rest.first {
            let close = first == "<" ? rest.firstIndex(of: ">") : nil
            let end = rest.index(after: close ?? rest.startIndex)
            pieces.append(String(rest[..<end]))
            rest = rest[end...]
        }
        return pieces
    }

    private func shared(_ a: [String], _ b: [String]) -> Int { zip(a, b).prefix { $0 == $1 }.count }

    /// What of a span is trained: not the start that the generation prompt gives, nothing after the end of the turn.
    private func trained(_ text: String, after prompt: [String]) -> String {
        let all = pieces(text)
        let rest = all[shared(all, prompt)...]
        let end = rest.firstIndex(where: Self.turnEnds.contains).map { $0 + 1 } ?? rest.endIndex
        return rest[..<end].joined()
    }

    /// What the template writes to open an assistant's turn after the conversation's last question.
    private func generationPrompt(_ template: ChatTemplate, _ conversation: JSON) throws -> [String] {
        let messages = conversation["messages"]?.array ?? []
        let asked = messages.lastIndex { $0["role"]?.string == "user" } ?? messages.count - 1
        let (with, without) = try (
            pieces(template.render(conversation, addGenerationPrompt: true, messages: Array(messages[...asked])).text),
            pieces(template.render(conversation, addGenerationPrompt: false, messages: Array(messages[...asked])).text)
        )
        return Array(with[shared(with, without)...])
    }

    /// Conversations that say nothing here: twins run two answers in a row together, and a template that writes its BOS in the
    /// first iteration opens a first answer otherwise than its generation prompt does.
    private static let leftOut: Set<String> = ["same-role-twice", "starts-with-assistant"]

    @Test("spans and the training twins' generation blocks agree on what is trained")
    func twins() throws {
        let templates = try PeerTemplates.known()
        let conversations = try TemplateFixtures.conversations().filter { !Self.leftOut.contains($0.key) }
        var compared: [String: Int] = [:]
        for (name, template) in templates {
            guard let twin = templates[name + "_training"] else { continue }
            for (label, conversation) in conversations {
                guard let chat = try? template.render(conversation, addGenerationPrompt: false),
                    let other = try? twin.render(conversation, addGenerationPrompt: false),
                    // Some twins keep thinking that the template drops.
                    chat.text == other.text, let prompt = try? generationPrompt(template, conversation)
                else { continue }
                let messages = conversation["messages"]?.array ?? []
                let ours = zip(messages, chat.messageSpans).filter { $0.0["role"]?.string == "assistant" }
                    .flatMap { $0.1 }.map { trained(chat.text(of: [$0]), after: prompt) }
                let theirs = merged(other.generationSpans).map { trained(other.text(of: [$0]), after: prompt) }
                #expect(ours.count == theirs.count, "\(name) · \(label)")
                for (a, b) in zip(ours, theirs) {
                    // A twin's block may start before the prompt ends, for instance at the prompt's '<think>'.
                    let start = b.hasSuffix(a) ? String(b.dropLast(a.count)) : nil
                    #expect(
                        start.map { $0.isEmpty || prompt.joined().contains($0) } == true,
                        "\(name) · \(label): \(a), \(b)")
                }
                compared[name, default: 0] += 1
            }
        }
        #expect(compared.count == templates.keys.count { $0.hasSuffix("_training") })
        #expect(compared.values.reduce(0, +) > 500)
    }

    private func merged(_ spans: [Range<Int>]) -> [Range<Int>] {
        spans.reduce(into: []) { merged, span in
            if let last = merged.last, last.upperBound == span.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<span.upperBound
            } else {
                merged.append(span)
            }
        }
    }

    @Test("each answer's words lie in its own spans")
    func ownWords() throws {
        var checked = 0
        for (name, template) in try PeerTemplates.known() {
            for (label, conversation) in try TemplateFixtures.conversations() {
                guard let chat = try? template.render(conversation, addGenerationPrompt: false) else { continue }
                for (message, spans) in zip(conversation["messages"]?.array ?? [], chat.messageSpans)
                where message["role"]?.string == "assistant" {
                    let words = MessageWords.of(message, withCalls: false)
                    guard MessageWords.areIn(chat.text, words) else { continue }
                    #expect(MessageWords.areIn(chat.text(of: spans), words), "\(name) · \(label)")
                    checked += 1
                }
            }
        }
        #expect(checked > 2000)
    }
}
