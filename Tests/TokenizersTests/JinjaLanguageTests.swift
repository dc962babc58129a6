import Files
import TestSupport
import Testing
import Tokenizers

@Suite("The template language gives what Jinja2 gives")
struct JinjaLanguageTests {
    @Test("single expressions and statements", arguments: ["expressions.json", "statements.json"])
    func singles(file: String) throws {
        let context = try #require(try JSON(contentsOf: Locations.fixture("templates/context.json")).object)
        var variables = Dictionary(uniqueKeysWithValues: context.map { ($0.key, $0.value) })
        let messages = try #require(variables.removeValue(forKey: "messages")?.array)
        for row in try TemplateFixtures.rows(file) {
            let source = try #require(row["source"]?.string)
            let result = Result {
                try ChatTemplate(source).render(messages: messages, variables: variables, date: TemplateFixtures.noon)
                    .text
            }
            switch (result, row["text"]?.string) {
            case (.success(let text), let expected?):
                #expect(Array(text.utf8) == Array(expected.utf8), "\(source): \(text)")
            case (.failure(let error), let expected?): Issue.record("\(source): \(error), expected \(expected)")
            case (.success(let text), nil):
                Issue.record("\(source) gave \(text), expected \(row["error"]?.string ?? "")")
            case (.failure(let error), nil):
                #expect((error as? InputError)?.place?.hasPrefix("line ") == true, "\(source): \(error)")
            }
        }
    }
}
