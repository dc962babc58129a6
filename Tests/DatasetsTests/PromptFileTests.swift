import Datasets
import Files
import TestSupport
import Testing

@Suite("Prompt files") struct PromptFileTests {
    private func read(_ text: String, _ name: String = "prompts.jsonl") throws -> [Prompt] {
        try Prompt.read(TemporaryFolder().write(text, to: name))
    }

    @Test("hold prompts, messages or lines")
    func rows() throws {
        let conversation = Conversation([
            Message(role: "system", content: "Be brief."), Message(role: "user", content: "Why?"),
        ])
        let messages = #"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]"#
        let prompts = try read(
            #"{"prompt": "One", "answer": 1}"# + "\n\n" + #"{"messages": \#(messages)}"# + "\n"
                + #"{"prompt": \#(messages)}"#)
        #expect(prompts == [.text("One"), .conversation(conversation), .conversation(conversation)])
        #expect(try read("a b\n\nc\n", "prompts.txt") == [.text("a b"), .text("c")])
    }

    @Test(
        "say where they are wrong",
        arguments: [
            (#"{"prompt": "a"}"# + "\n" + #"{"text": "a"}"#, #"line 2: the row has the keys "text""#),
            (#"{"prompt": 3}"#, "line 1: prompt: is a number"), (#"{"messages": []}"#, "line 1: messages: is an empty"),
            (#"{"messages": [{"role": "usr", "content": "a"}]}"#, "line 1: messages[0].role: unknown role"),
            ("[1]\n", "line 1: the row is"), ("{\n", "line 1"), ("\n", "holds no prompt"),
        ])
    func faults(_ text: String, _ message: String) throws {
        let error = #expect(throws: InputError.self) { try read(text) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
}
