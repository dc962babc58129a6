import Datasets
import Files
import Foundation
import Testing
import Tokenizers

/// The folder of TRL's chat templates (`trl/chat_templates` of an installed TRL), for those who have it.
private let twins = ProcessInfo.processInfo.environment["GRAFT_TRL_TEMPLATES"]

private func read(_ name: String) throws -> String {
    try String(contentsOfFile: (twins ?? "") + "/" + name, encoding: .utf8)
}

private let files = ((try? FileManager.default.contentsOfDirectory(atPath: twins ?? "")) ?? []).sorted()

/// The templates that have a training twin with `{% generation %}` around what the model writes.
private func names() -> [String] {
    files.filter { $0.hasSuffix("_training.jinja") }.map { String($0.dropLast("_training.jinja".count)) }
}

private let conversations: [Conversation] = {
    func turns(_ texts: [String], system: String? = nil) -> Conversation {
        let messages = texts.enumerated().map {
            Message(role: $0 % 2 == 0 ? "user" : "assistant", content: .string($1))
        }
        return Conversation((system.map { [Message(role: "system", content: .string($0))] } ?? []) + messages)
    }
    return [
        turns(["What is two and two?", "Four."]),
        turns(["Hi", "Ho", "Hi", "user Hi\n\nassistant", "And?", "<b>No</b> more."]),
        turns(["Hi", "Ho", "Again", "Ho"], system: "Be brief."),
    ]
}()

/// Everything in a text that looks like a special token: `<|…|>`, `<｜…｜>`, and the named ones.
private func specials(in text: String, eos: String) throws -> [SpecialToken] {
    let pattern = try Regex(
        #"<[|｜][^<>\n]*[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|</?s>|<(bos|eos|start_of_turn|end_of_turn|end_of_utterance)>"#)
    return text.matches(of: pattern).map { match in
        let start = text.utf8.distance(from: text.startIndex, to: match.range.lowerBound)
        let end = text.utf8.distance(from: text.startIndex, to: match.range.upperBound)
        return SpecialToken(range: start..<end, isEOS: text[match.range] == eos)
    }
}

/// Masks from recorded spans, compared with those of the twins: TRL's own marks of what the model writes.
@Suite(.enabled(if: twins != nil)) struct TemplateTwinTests {
    @Test(arguments: names())
    func spansLieWhereTheTwinMarksThem(name: String) throws {
        let plain = try ChatRenderer(read(name + ".jinja"), bosToken: "<bos>", eosToken: "<eos>")
        let marked = try ChatRenderer(read(name + "_training.jinja"), bosToken: "<bos>", eosToken: "<eos>")
        var compared = 0
        for conversation in conversations {
            // Not every template takes a system message; some twins open an empty `<think>` where the template does not.
            guard let own = try? ChatMask(conversation, renderer: plain),
                let twin = try? ChatMask(conversation, renderer: marked), twin.text.hasPrefix(own.text)
            else { continue }
            compared += 1
            let bytes = Array(own.text.utf8)
            let spans = try own.spans(.assistant, specials: specials(in: own.text, eos: "<eos>"))
            let marks = merged(try twin.spans(.assistant, specials: []).filter { $0.lowerBound < bytes.count })
            let answers = conversation.messages.filter(\.isAssistant)
            #expect(spans.count == answers.count && marks.count == answers.count)
            for ((span, mark), answer) in zip(zip(spans, marks), answers) {
                func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
                #expect(text(span).contains(answer.content.string ?? "nothing"))
                // Ours ends with the token that ends the turn; a twin may go on to the line's end.
                #expect(span.upperBound <= mark.upperBound)
                let rest = text(span.upperBound..<max(span.upperBound, min(mark.upperBound, bytes.count)))
                // GLM's turns have no end of their own: the twin takes the first token of the next.
                #expect(rest.allSatisfy { $0.isWhitespace } || (name == "glm4moe" && rest == "<|user|>"))
                // A twin may begin inside the generation prompt, which the model never writes.
                #expect(span.lowerBound >= mark.lowerBound)
                let prompt = try generationPrompt(name)
                #expect(mark.lowerBound == span.lowerBound || prompt.contains(text(mark.lowerBound..<span.lowerBound)))
            }
        }
        #expect(compared > 0, "the twin of \(name) writes other texts")
    }

    /// Every template, with a twin or without: each answer in a span of its own, with its end of turn and without the question.
    @Test(arguments: files.filter { $0.hasSuffix(".jinja") && !$0.hasSuffix("_training.jinja") })
    func everyTemplateTellsAnswersApart(file: String) throws {
        let renderer = try ChatRenderer(read(file), bosToken: "<bos>", eosToken: "<eos>")
        var checked = 0
        for conversation in conversations {
            guard let chat = try? ChatMask(conversation, renderer: renderer) else { continue }
            checked += 1
            let bytes = Array(chat.text.utf8)
            let marks = try specials(in: chat.text, eos: "<eos>")
            let spans = try chat.spans(.assistant, specials: marks)
            let answers = conversation.messages.filter(\.isAssistant).compactMap(\.content.string)
            #expect(spans.count == answers.count)
            for (span, answer) in zip(spans, answers) {
                let text = String(decoding: bytes[span], as: UTF8.self)
                #expect(text.contains(answer) && !text.contains("user\nHi"), "\(text)")
                // GLM has no end of turn. LFM2.5 marks its answers itself, with the line feed that follows the end of turn.
                let end = span.upperBound - (file.hasPrefix("lfm2_2_5") ? 1 : 0)
                let ends = marks.contains { $0.range.upperBound == end }
                #expect(ends || file == "glm4moe.jinja", "\(text)")
            }
        }
        #expect(checked > 0)
    }

    private func generationPrompt(_ name: String) throws -> String {
        let template = try ChatTemplate(read(name + ".jinja"))
        let asked = try template.render(
            messages: [["role": "user", "content": "x"]], addGenerationPrompt: true, bosToken: "<bos>",
            eosToken: "<eos>")
        return String(asked.text.suffix(80))
    }

    private func merged(_ ranges: [Range<Int>]) -> [Range<Int>] {
        ranges.reduce(into: []) { merged, range in
            if let last = merged.last, last.upperBound == range.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<range.upperBound
            } else {
                merged.append(range)
            }
        }
    }
}
