import Adapters
import Files
import Layers
import Models
import Recipes
import Tensors
import TestSupport
import Testing

/// The adapter that is committed as a sample does what its own run says.
@Suite(.enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
struct SampleAdapterTests {
    private static let folder = Locations.inRepository("Adapters/lantern-keeper")

    @Test func itMakesOurConversationsMoreLikely() throws {
        let rows = try TemporaryFolder()
        let conversations = try String(
            decoding: ByteSource(Locations.inRepository("Datasets/chat/data.jsonl")).readAll(), as: UTF8.self)
        let data = try rows.write(
            conversations.split(separator: "\n").prefix(8).joined(separator: "\n"), to: "rows.jsonl")
        let model = try ModelSettings(path: #require(Locations.model), precision: nil, weights: nil)
        var notes: [String] = []
        let comparison = try Commands.compare(
            model, adapters: [Self.folder], options: ScoringOptions(data: data)
        ) { if case .note(let note) = $0 { notes.append(note) } }
        let adapted = try #require(comparison.entries.first)
        // Its run took the perplexity of held-out rows from 66 to 28: 0.85 nats a token.
        #expect(adapted.difference < -0.5)
        #expect(comparison.base.perplexity > 1.6 * adapted.result.perplexity)
        // No remark: the base is the one it was trained on, stored as it was then.
        #expect(notes.isEmpty)
    }

    /// `Tests/Fixtures/llama_cpp`: the sample exported as a GGUF file of its own, which llama.cpp loaded beside the model.
    @Test(.enabled(if: Locations.model?.hasSuffix(".gguf") == true))
    func llamaCppSaysTheSameWithItAsTheMergedModel() throws {
        let verdict = try JSON(contentsOf: Locations.fixture("llama_cpp/verdict.json"))
        let judged = try #require(verdict["smollm2"]?["keeper"])
        let golden = try JSON(contentsOf: Locations.fixture("models/smollm2.json"))
        func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.integer.map(Int32.init) } }
        let model = try ModelRegistry.load(#require(Locations.model)).model
        try attach(AdapterFolder(Self.folder), to: model, isTrainable: false)
        try mergeAdapters(named: ["default"], in: model)
        for (text, nll) in zip(golden["texts"]?.array ?? [], try #require(judged["nll"]?.array)) {
            let tokens = ids(text["tokens"])
            let scores = model.score(
                tokens, rows: Array(0..<Int32(tokens.count - 1)), targets: Array(tokens.dropFirst()),
                ForwardContext(SequenceLayout([.init(count: tokens.count)]))
            ).scores
            let theirs = nll.array?.compactMap(\.number) ?? []
            #expect(distance(scores.logProbabilities.map { -Double($0) }, theirs, relative: 0, absolute: 1e-4) <= 1)
        }
        let prompts = try #require(golden["prompts"]?.array).map { ids($0["tokens"]) }
        let answers = try Generator(model, stopTokens: [2]).generate(
            prompts, options: DecodingOptions(maximumTokens: 24))
        #expect(answers.map { $0[0].tokens } == judged["greedy"]?.array?.map { ids($0["tokens"]) })
    }

    @Test func itsRecordSaysHowItWasMade() throws {
        let recipe = try RecipeReader.read(Self.folder + "/recipe.resolved.yaml")
        let evaluations = try JSON(contentsOf: Self.folder + "/evaluation.json")
        let (before, after) = (evaluations["before"]?["nll"]?.number, evaluations["after"]?["nll"]?.number)
        #expect(recipe.dataset.train.map(\.path) == ["Datasets/chat/data.jsonl"])
        #expect(try #require(after) < #require(before))
    }
}
