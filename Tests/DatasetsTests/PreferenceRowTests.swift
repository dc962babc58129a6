import Datasets
import Files
import TestSupport
import Testing
import Tokenizers

private func user(_ text: String) -> Message { Message(role: "user", content: .string(text)) }
private func assistant(_ text: String) -> Message { Message(role: "assistant", content: .string(text)) }
private func asked(_ text: String) -> Prompt { .conversation(Conversation([user(text)])) }

/// Pairs, labelled answers and prompts, in the shapes that people write them.
@Suite struct PreferenceFormatTests {
    private func row(_ text: String, _ purpose: RowPurpose = .pairs) throws -> Row {
        let folder = try TemporaryFolder()
        let source = DatasetSource(try folder.write(text.replacing("\n", with: " "), to: "a.jsonl"))
        let parser = try RowParser(source, for: purpose)
        var rows: [Row] = []
        try RowFile(source.path).forEachRow {
            rows.append(try parser.row($0))
            return true
        }
        return try #require(rows.first)
    }

    @Test func texts() throws {
        let pair = Row.pair(prompt: .text("2+2="), chosen: .text("4"), rejected: .text("5"), margin: 1.5)
        #expect(try row(#"{"prompt": "2+2=", "chosen": "4", "rejected": "5", "margin": 1.5}"#) == pair)
        // Without a prompt: what both begin with, less a space before the answers.
        let implicit = Row.pair(prompt: .text("Say:"), chosen: .text(" yes"), rejected: .text(" no"), margin: nil)
        #expect(try row(#"{"chosen": "Say: yes", "rejected": "Say: no"}"#) == implicit)
        let nothing = Row.pair(prompt: .text(""), chosen: .text("a"), rejected: .text("b"), margin: nil)
        #expect(try row(#"{"chosen": "a", "rejected": "b", "margin": null}"#) == nothing)
    }

    @Test func messages() throws {
        let pair = Row.pair(
            prompt: asked("Hi"), chosen: .messages([assistant("Ho")]), rejected: .messages([assistant("Hm")]),
            margin: nil)
        let (hi, ho) = (#"{"role": "user", "content": "Hi"}"#, #"{"role": "assistant", "content": "Ho"}"#)
        let hm = ho.replacing("Ho", with: "Hm")
        #expect(try row(#"{"prompt": [\#(hi)], "chosen": [\#(ho)], "rejected": [\#(hm)]}"#) == pair)
        #expect(try row(#"{"chosen": [\#(hi), \#(ho)], "rejected": [\#(hi), \#(hm)]}"#) == pair)
        #expect(try row(#"{"prompt": "Hi", "chosen": [\#(hi), \#(ho)], "rejected": [\#(hi), \#(hm)]}"#) == pair)
        // Equal answers are found later, and counted.
        guard
            case .pair(_, let chosen, let rejected, _) = try row(
                #"{"chosen": [\#(hi), \#(ho)], "rejected": [\#(hi), \#(ho)]}"#)
        else { throw RunError("no pair") }
        #expect(chosen == rejected && chosen == .messages([assistant("Ho")]))
        let tools = #"{"prompt": [\#(hi)], "chosen": [\#(ho)], "rejected": [\#(hm)], "tools": [{"type": "function"}]}"#
        guard case .pair(.conversation(let prompt), _, _, _) = try row(tools) else { throw RunError("no pair") }
        #expect(prompt.tools == [["type": "function"]])
    }

    @Test func shareGPT() throws {
        let pair = Row.pair(
            prompt: .conversation(Conversation([Message(role: "system", content: "S"), user("Hi")])),
            chosen: .messages([assistant("Ho")]), rejected: .messages([assistant("Hm")]), margin: nil)
        let text = #"""
            {"system": "S", "conversations": [{"from": "human", "value": "Hi"}],
             "chosen": {"from": "gpt", "value": "Ho"}, "rejected": [{"from": "gpt", "value": "Hm"}]}
            """#
        #expect(try row(text) == pair)
    }

    @Test func labelsAndPrompts() throws {
        let yes = Row.labelled(prompt: asked("Hi"), answer: .messages([assistant("Ho")]), isDesirable: true)
        let (hi, ho) = (#"{"role": "user", "content": "Hi"}"#, #"{"role": "assistant", "content": "Ho"}"#)
        #expect(try row(#"{"prompt": [\#(hi)], "completion": [\#(ho)], "label": true}"#, .labels) == yes)
        #expect(try row(#"{"messages": [\#(hi), \#(ho)], "label": 1}"#, .labels) == yes)
        let no = Row.labelled(prompt: .text("2+2="), answer: .text("5"), isDesirable: false)
        #expect(try row(#"{"prompt": "2+2=", "completion": "5", "label": false}"#, .labels) == no)
        #expect(try row(#"{"prompt": "a", "chosen": "b", "rejected": "c"}"#, .labels).kind == "preference pair")
        #expect(try row(#"{"prompt": "a", "chosen": "b"}"#, .prompts) == .prompt(.text("a"), reference: nil))
        #expect(try row(#"{"prompt": [\#(hi)]}"#, .prompts) == .prompt(asked("Hi"), reference: nil))
        // The same keys are something else to supervised fine-tuning.
        #expect(try row(#"{"prompt": "a", "completion": "b", "label": true}"#, .supervised).kind == "prompt/completion")
    }

    @Test(arguments: [
        (#"{"chosen": "a"}"#, RowPurpose.pairs, ["no \"rejected\""]),
        (#"{"chosen": "a", "rejectd": "b"}"#, .pairs, ["rejectd"]),
        (#"{"chosen": "a", "rejected": ["b"]}"#, .pairs, ["\"chosen\" is a string and \"rejected\" is an array"]),
        (#"{"prompt": 3, "chosen": "a", "rejected": "b"}"#, .pairs, ["\"prompt\" is a number"]),
        (#"{"chosen": "a", "rejected": "b", "margin": "much"}"#, .pairs, ["margin", "a number"]),
        (
            #"{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}"#,
            .pairs, ["chosen[0].role", "leave out \"prompt\""]
        ),
        (
            #"{"prompt": "x", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}], "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            .pairs, ["do not begin with"]
        ),
        (
            #"{"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}"#, .pairs,
            ["begin with different messages"]
        ),
        (#"{"prompt": "a", "completion": "b", "label": "yes"}"#, .labels, ["label", "true or false"]),
        (#"{"messages": [{"role": "user", "content": "a"}], "label": true}"#, .labels, ["ends without"]),
        (#"{"text": "a"}"#, .pairs, ["format text", "preference pairs"]),
        (#"{"chosen": "a", "rejected": "b"}"#, .supervised, ["preference pair", "messages"]),
        (
            #"{"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "human", "value": "b"}, "rejected": {"from": "gpt", "value": "c"}}"#,
            .pairs, ["chosen[0].role", "user"]
        ),
    ])
    func bad(text: String, purpose: RowPurpose, says: [String]) throws {
        let error = #expect(throws: InputError.self) { try row(text, purpose) }
        for phrase in says { #expect("\(error as Any)".contains(phrase), "\(error as Any)") }
    }
}

/// Pairs and labelled answers as tokens.
@Suite struct PreferenceRowTests {
    private func dataset(
        _ text: String, _ purpose: RowPurpose = .pairs, maxLength: Int = 1024, overflow: Overflow? = nil,
        cache: CachePolicy = .none, in folder: TemporaryFolder? = nil
    ) throws -> TokenizedDataset {
        let folder = try folder ?? TemporaryFolder()
        let tokenizer = try tinyTokenizer()
        return try TokenizedDataset(
            sources: [DatasetSource(folder.write(text, to: "a.jsonl"))], tokenizer: tokenizer,
            renderer: tokenizer.chatTemplate.map { try ChatRenderer($0, tokenizer: tokenizer) },
            options: TokenizingOptions(maxLength: maxLength, overflow: overflow, purpose: purpose), cache: cache)
    }

    private func pair(_ prompt: String, _ chosen: String, _ rejected: String, _ rest: String = "") -> String {
        #"{"prompt": "\#(prompt)", "chosen": "\#(chosen)", "rejected": "\#(rejected)"\#(rest)}"# + "\n"
    }

    /// Prompt, answers and where they part, as TRL's trainers prepare them.
    @Test(arguments: ["pairs", "plain-pairs", "implicit", "implicit-plain", "unpaired"])
    func equalsTRL(name: String) throws {
        let golden = try JSON(contentsOf: Locations.fixture("preferences/prepared-\(name).json"))
        let runs = try #require(golden["runs"]?.array)
        #expect(runs.count == 4)
        for run in runs {
            let isBOS = run["tokenizer"]?.string == "bos"
            let folder = isBOS ? "datasets/bos-tokenizer" : "models/tiny-llama"
            let tokenizer = try Tokenizer(file: Locations.fixture("\(folder)/tokenizer.json"))
            let template = try #require(tokenizer.chatTemplate)
            let dataset = try TokenizedDataset(
                sources: [DatasetSource(Locations.fixture("preferences/\(name).jsonl"))], tokenizer: tokenizer,
                renderer: ChatRenderer(template, tokenizer: tokenizer),
                options: TokenizingOptions(
                    maxLength: try #require(run["max_length"]?.integer), purpose: name == "unpaired" ? .labels : .pairs),
                cache: .none)
            // Pairs that are equal once they are cut teach nothing; TRL keeps them.
            let expected = try #require(run["prepared"]?.array).filter { row in
                Set(row["answers"]?.array ?? []).count == row["answers"]?.array?.count
            }
            #expect(dataset.count == expected.count && !expected.isEmpty)
            for (index, row) in expected.enumerated() where index < dataset.count {
                let example = dataset[index]
                func tokens(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
                #expect(Array(example.tokens[..<example.answers[0]]) == tokens(row["prompt"]))
                let answers = example.answers.indices.map { Array(example.tokens[example.range(ofAnswer: $0)]) }
                #expect(answers == (row["answers"]?.array ?? []).map(tokens))
                #expect(example.judgement.label == row["label"]?.integer.map { $0 == 1 })
            }
        }
    }

    @Test func aPairSharesItsPrompt() throws {
        let example = try dataset(pair("ab", "c", "de", #", "margin": 0.25"#))[0]
        #expect(example.answers == [2, 4] && example.tokens.count == 7)
        #expect(example.isTarget == [false, false, true, true, true, true, true])
        #expect(example.judgement == Judgement(margin: 0.25))
        let rejected = example.sequence(ofAnswer: 1)
        #expect(rejected.tokens == Array(example.tokens[..<2] + example.tokens[4...]) && rejected.targetCount == 3)
        // With nothing before it, an answer's first token cannot be predicted.
        let bare = try dataset(pair("", "ab", "cd"))[0]
        #expect(bare.answers == [0, 3] && bare.isTarget == [false, true, true, false, true, true])
    }

    @Test func whatCannotBeComparedIsCounted() throws {
        let rows =
            pair("p", "a", "b") + pair("p", "a", "a") + pair("p", "", "b") + pair("pppppppppp", "a", "b")
            + pair("p", "aaaaaaaaaaab", "aaaaaaaaaaac") + pair("p", "bbbbbbbbbbbbb", "c") + pair("pp", "a", "b")
        let statistics = try dataset(rows, maxLength: 10).statistics
        #expect(
            statistics.droppedRows == [
                .equalAnswers: 1, .emptyAnswer: 1, .promptFillsLength: 1, .equalAfterTruncation: 1,
            ])
        #expect(statistics.rows == 7 && statistics.keptRows == 3 && statistics.examples == 3)
        #expect(statistics.truncatedRows == 1 && statistics.truncatedTokens == 5)
        #expect(statistics.sharedPromptTokens == 4)
        #expect(statistics.turnEndingRows == 2)
        let dropped = try dataset(rows, maxLength: 10, overflow: .drop).statistics.droppedRows
        #expect(dropped[.tooLong] == 2)
        #expect(throws: InputError.self) { try dataset(rows, maxLength: 10, overflow: .error) }
        #expect(throws: InputError.self) { try dataset(rows, maxLength: 10, overflow: .split) }
    }

    @Test func labelsAndPrompts() throws {
        let labelled = #"{"prompt": "a", "completion": "b", "label": false}"# + "\n" + pair("a", "b", "c")
        let dataset = try dataset(labelled, .labels)
        #expect(dataset[0].judgement.label == false && dataset[0].answers == [1])
        #expect(dataset[1].judgement.label == nil && dataset[1].answers.count == 2)
        let prompts = try self.dataset(#"{"prompt": "abc"}"#, .prompts)
        #expect(prompts[0].tokens.count == 3 && prompts[0].targetCount == 0)
    }

    @Test func cachedPairsAreTheSame() throws {
        let folder = try TemporaryFolder()
        let rows = pair("p", "a", "b", #", "margin": 2"#) + pair("q", "cc", "d")
        func read(_ purpose: RowPurpose) throws -> [Example] {
            let dataset = try dataset(rows, purpose, cache: .folder(folder.file("cache")), in: folder)
            return (0..<dataset.count).map { dataset[$0] }
        }
        let first = try read(.pairs)
        #expect(try read(.pairs) == first && first[0].judgement.margin == 2)
        #expect(try read(.labels).count == 2)
    }

    @Test func inspectionNamesTheAnswers() throws {
        let tokenizer = try tinyTokenizer()
        let dataset = try dataset(pair("ab", "c", "de"))
        let inspection = Inspection(dataset, tokenizer: tokenizer, plan: nil, rows: 1)
        #expect(
            inspection.rows[0].segments == [
                .init(text: "ab", isTrained: false), .init(text: "c<|im_end|>", isTrained: true, answer: "chosen"),
                .init(text: "de<|im_end|>", isTrained: true, answer: "rejected"),
            ])
        #expect(inspection.problems == [])
    }
}
