import Files
import TestSupport
import Testing
import Tokenizers

/// One render that transformers made: which template, which conversation, and its text, or the error it ended with.
struct GoldenRender: CustomTestStringConvertible {
    let template, conversation: String
    let addGenerationPrompt: Bool
    let text: String?
    let error: String
    let generation: [Range<Int>]

    var testDescription: String { "\(template) · \(conversation)\(addGenerationPrompt ? " · prompt" : "")" }

    init(_ json: JSON) {
        template = json["template"]?.string ?? ""
        conversation = json["conversation"]?.string ?? ""
        addGenerationPrompt = json["add_generation_prompt"]?.bool ?? false
        text = json["text"]?.string
        error = json["error"]?.string ?? ""
        generation = json["generation"].map(GoldenRender.ranges) ?? []
    }

    static func ranges(_ json: JSON) -> [Range<Int>] {
        (json.array ?? []).compactMap { pair in
            guard let low = pair.array?.first?.integer, let high = pair.array?.last?.integer, low < high else {
                return nil
            }
            return low..<high
        }
    }
}

/// The templates' fixtures.
enum TemplateFixtures {
    static func rows(_ name: String) throws -> [JSON] {
        try JSON(contentsOf: Locations.fixture("templates/" + name)).array ?? []
    }

    static func template(_ name: String) throws -> ChatTemplate {
        let bytes = try ByteSource(Locations.fixture("templates/\(name).jinja")).readAll()
        return try ChatTemplate(String(decoding: bytes, as: UTF8.self), name: name + ".jinja")
    }

    static func conversations() throws -> [String: JSON] {
        Dictionary(uniqueKeysWithValues: try rows("conversations.json").map { ($0["name"]?.string ?? "", $0) })
    }

    static let noon = LocalTime(year: 2026, month: 3, day: 4, hour: 9, minute: 5, second: 7)
}

extension ChatTemplate {
    /// Renders a conversation of the fixtures with the settings that the generator used.
    func render(_ conversation: JSON, addGenerationPrompt: Bool, messages: [JSON]? = nil) throws -> RenderedChat {
        var variables: [String: JSON] = [:]
        for (name, value) in conversation["variables"]?.object ?? [:] { variables[name] = value }
        if let documents = conversation["documents"] { variables["documents"] = documents }
        return try render(
            messages: messages ?? conversation["messages"]?.array ?? [], tools: conversation["tools"],
            addGenerationPrompt: addGenerationPrompt, bosToken: "<s>", eosToken: "</s>", variables: variables,
            date: TemplateFixtures.noon)
    }
}

@Suite("Chat templates render as transformers renders them")
struct ChatTemplateTests {
    @Test("every template over every conversation, byte for byte")
    func renders() throws {
        let conversations = try TemplateFixtures.conversations()
        var templates: [String: ChatTemplate] = [:]
        let goldens = try TemplateFixtures.rows("renders.json").map(GoldenRender.init)
        #expect(goldens.count > 400)
        for golden in goldens {
            let template = try templates[golden.template] ?? TemplateFixtures.template(golden.template)
            templates[golden.template] = template
            let conversation = try #require(conversations[golden.conversation])
            if let text = golden.text {
                let chat = try template.render(conversation, addGenerationPrompt: golden.addGenerationPrompt)
                #expect(Array(chat.text.utf8) == Array(text.utf8), "\(golden.testDescription)")
                #expect(chat.generationSpans == golden.generation, "\(golden.testDescription)")
            } else {
                let error = #expect(throws: InputError.self, "\(golden.testDescription)") {
                    try template.render(conversation, addGenerationPrompt: golden.addGenerationPrompt)
                }
                // A template's own objection arrives as it is; what Jinja says of its own faults is in other words.
                if !golden.error.isEmpty { #expect(error?.message == golden.error) }
                #expect(error?.place?.hasPrefix("line ") == true)
            }
        }
    }
}
