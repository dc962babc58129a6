import Datasets
import Files
import TestSupport
import Testing
import Tokenizers

/// Templates written for these tests, each with one habit that real ones have.
private enum Templates {
    static let chatML =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    /// Writes an end-of-text token where no answer is asked for, as Phi-3 does.
    static let closing =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"
    /// Asks for the answer inside the loop, as Zephyr does.
    static let asksInside =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
        + "{% if loop.last and add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}{% endfor %}"
    /// Opens a thought that old turns do not have.
    static let thinking =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
    /// Writes a default system message in the first turn, as SmolLM2 does.
    static let defaultSystem =
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}{{ '<|im_start|>system\nBe.<|im_end|>\n' }}{% endif %}"
        + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    /// Ends turns with a special token that is not EOS, and goes on to the next line.
    static let otherEnd =
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|endoftext|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    /// Writes another special token after EOS.
    static let moreAfterEOS =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|><|endoftext|>\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    /// No end of turn at all.
    static let noEnd = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    /// Marks what the model writes itself, here without its end of turn.
    static let marked =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        + "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    /// No loop: two messages by number.
    static let noLoop =
        "{{ 'Q: ' + messages[0].content + '\nA:' }}{% if not add_generation_prompt %}{{ ' ' + messages[1].content + '<|im_end|>\n' }}{% endif %}"
}

private let twoTurns =
    #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, "#
    + #"{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "<b>Hi</b>"}]}"#

/// The trained stretches of the first row, as text.
private func trained(
    _ rows: String, template: String?, trainOn: TrainOn? = nil, maxLength: Int = 1024, overflow: Overflow? = nil,
    tokenizer given: Tokenizer? = nil
) throws -> [String] {
    let folder = try TemporaryFolder()
    let tokenizer = try given ?? tinyTokenizer()
    let dataset = try dataset(
        [folder.write(rows, to: "a.jsonl")], tokenizer: tokenizer, template: template, trainOn: trainOn,
        maxLength: maxLength, overflow: overflow)
    let inspection = Inspection(dataset, tokenizer: tokenizer, plan: nil, rows: 1)
    return inspection.rows.first?.segments.filter(\.isTrained).map(\.text) ?? []
}

@Suite struct MaskTests {
    @Test(arguments: [
        ("ChatML", Templates.chatML, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        ("closing token", Templates.closing, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        ("asks inside the loop", Templates.asksInside, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        // "<" begins both the answer and the opened thought: it is the answer's.
        ("opens a thought", Templates.thinking, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        ("default system", Templates.defaultSystem, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        ("other end", Templates.otherEnd, ["Ho<|endoftext|>", "<b>Hi</b><|endoftext|>"]),
        ("more after EOS", Templates.moreAfterEOS, ["Ho<|im_end|>", "<b>Hi</b><|im_end|>"]),
        ("no end", Templates.noEnd, ["assistant: Ho\n", "assistant: <b>Hi</b>\n"]),
        ("generation blocks", Templates.marked, ["Ho", "<b>Hi</b>"]),
    ])
    func assistantSpans(name: String, template: String, expected: [String]) throws {
        #expect(try trained(twoTurns, template: template) == expected)
        #expect(try trained(twoTurns, template: template, trainOn: .lastTurn) == [expected[1]])
    }

    @Test func theThoughtThatThePromptOpensIsNotTrained() throws {
        let row =
            #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "<think>\nHm</think>Ho"}]}"#
        #expect(try trained(row, template: Templates.thinking) == ["Hm</think>Ho<|im_end|>"])
    }

    @Test func anAssistantMayBegin() throws {
        let row = #"{"messages": [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Hi"}]}"#
        #expect(try trained(row, template: Templates.defaultSystem) == ["Hello.<|im_end|>"])
    }

    /// Masks go by position: the same words in a question are not trained.
    @Test func messagesMarkedUntrainedAreContext() throws {
        let row = twoTurns.replacing(
            #""content": "Ho"}, {"role": "user""#, with: #""content": "Ho", "train": false}, {"role": "user""#)
        #expect(row != twoTurns)
        #expect(try trained(row, template: Templates.chatML) == ["<b>Hi</b><|im_end|>"])
        #expect(try trained(row, template: Templates.marked) == ["<b>Hi</b>"])
        let openAI = row.replacing(#""train": false"#, with: #""weight": 0"#)
        #expect(try trained(openAI, template: Templates.chatML) == ["<b>Hi</b><|im_end|>"])
        let all = try trained(row, template: Templates.chatML, trainOn: .all)
        #expect(all.count == 2 && !all[0].contains("Ho") && all[1].hasPrefix("<|im_start|>user\nHo"))
        let error = #expect(throws: InputError.self) { try trained(row, template: Templates.noLoop, trainOn: .all) }
        #expect(error?.message.contains("train: false") == true)
    }

    @Test func aTemplateWithoutALoopHasAWayOut() throws {
        let row = #"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}"#
        let error = #expect(throws: InputError.self) { try trained(row, template: Templates.noLoop) }
        #expect(error?.place == "line 1" && error?.hint?.contains("train_on: last_turn or all") == true)
        #expect(try trained(row, template: Templates.noLoop, trainOn: .lastTurn) == [" Ho<|im_end|>"])
        // All but the first token.
        #expect(try trained(row, template: Templates.noLoop, trainOn: .all) == [": Hi\nA: Ho<|im_end|>\n"])
    }

    @Test(arguments: [
        (twoTurns, TrainOn.completion), (#"{"text": "abc"}"#, .assistant), (#"{"text": "abc"}"#, .completion),
        (#"{"prompt": "a", "completion": "b"}"#, .lastTurn), (#"{"prompt": "a", "completion": "b"}"#, .assistant),
    ])
    func otherCombinationsAreErrors(row: String, mask: TrainOn) {
        let error = #expect(throws: InputError.self) { try trained(row, template: Templates.chatML, trainOn: mask) }
        #expect(error?.message.contains("train_on: \(mask.rawValue)") == true && error?.place == "line 1")
    }

    @Test func aConversationNeedsATemplate() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(twoTurns, to: "a.jsonl")
        let error = #expect(throws: InputError.self) {
            try TokenizedDataset(
                sources: [DatasetSource(path)], tokenizer: tinyTokenizer(), renderer: nil, options: TokenizingOptions(),
                cache: .none)
        }
        #expect(error?.message.contains("no chat template") == true)
    }

    /// A token belongs where it starts: one that begins in the prompt and reaches into the answer is the prompt's.
    @Test func tokensBelongWhereTheyStart() {
        let offsets = [0..<0, 0..<3, 3..<6, 6..<8, 8..<9, 9..<12, 12..<12]
        let expected = [false, false, false, true, false, true, true]
        #expect(LossMask.targets(offsets: offsets, spans: [9..<13, 4..<8]) == expected)
        #expect(LossMask.targets(offsets: offsets, spans: [0..<12]) == [false, true, true, true, true, true, false])
        #expect(LossMask.subtracting([2..<4, 9..<20], from: [0..<5, 6..<10]) == [0..<2, 4..<5, 6..<9])
    }

    // MARK: - BOS

    /// A template without BOS and a post-processor that adds one; a template with BOS; a template that writes it twice.
    @Test func beginningOfSequenceStandsOnce() throws {
        let tokenizer = try Tokenizer(file: Locations.fixture("datasets/bos-tokenizer/tokenizer.json"))
        let bos = try #require(tokenizer.bosToken)
        let folder = try TemporaryFolder()
        let path = try folder.write(twoTurns, to: "a.jsonl")
        for (prefix, count) in [("", 1), ("{{ bos_token }}", 1), ("{{ bos_token + bos_token }}", 2)] {
            let dataset = try dataset([path], tokenizer: tokenizer, template: prefix + Templates.chatML)
            #expect(dataset[0].tokens.prefix { $0 == bos }.count == count)
            let problems = Inspection(dataset, tokenizer: tokenizer, plan: nil, rows: 0).problems
            #expect(problems == (count == 2 ? ["1 of 1 rows begin with BOS twice"] : []))
        }
        let text = try dataset([folder.write(#"{"text": "<|endoftext|>abc"}"#, to: "b.jsonl")], tokenizer: tokenizer)
        #expect(text[0].tokens.filter { $0 == bos }.count == 1)
    }

    // MARK: - Prefix rendering

    /// On a template whose renderings of prefixes are prefixes of the rendering, an answer is what the longer one adds.
    @Test(
        arguments: [Locations.fixture("training/rows.jsonl"), Locations.shared("data/chat_en.jsonl")].compactMap(\.self)
    )
    func spansAreWhatPrefixesAdd(path: String) throws {
        let renderer = try ChatRenderer(Templates.chatML, bosToken: "", eosToken: "<|im_end|>")
        let template = try ChatTemplate(Templates.chatML)
        var compared = 0
        for case .messages(let conversation) in try rows(of: DatasetSource(path)) {
            let chat = try ChatMask(conversation, renderer: renderer)
            let ends = chat.text.ranges(of: "<|im_end|>").map { range in
                let end = chat.text.utf8.distance(from: chat.text.startIndex, to: range.upperBound)
                return SpecialToken(range: end - 10..<end, isEOS: true)
            }
            let spans = try chat.spans(.assistant, specials: ends)
            let messages = conversation.messages.map(\.json)
            let expected = try conversation.messages.indices.filter { conversation.messages[$0].isAssistant }.map {
                index in
                let prompt = try template.render(messages: Array(messages[..<index]), addGenerationPrompt: true).text
                let answered = try template.render(messages: Array(messages[...index])).text
                #expect(answered.hasPrefix(prompt))
                return prompt.utf8.count..<answered.utf8.count - 1
            }
            #expect(spans == expected)
            compared += 1
        }
        #expect(compared >= 24)
    }
}
